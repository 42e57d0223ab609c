"""What `bench.data_plane` is made of: servers, objects, clients in processes of their own, daemon
runs, and the table of goals."""
