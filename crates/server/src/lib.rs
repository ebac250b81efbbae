//! The HTTPS API on 10250 and the local socket
