//! The server on real sockets, and its description.

mod bodies;
mod description;
mod sockets;
mod tls;
