//! What `ssh_config` says about a host.
