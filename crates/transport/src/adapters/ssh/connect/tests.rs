//! Logins against a real sshd.
