"""HTTP/1.1 as this daemon needs it, and no more: requests out of shared memory, answers into it.

`head` understands the head of an answer, `answer` says where its body goes, `connection` is one
connection with one exchange at a time, `patience` how long that may take; `dialer` makes
connections, `pool` keeps them. What can go wrong is one of `errors`.
"""
