//! Proving who we are to a host.
