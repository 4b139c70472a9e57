//! Private keys and certificates, loaded once.
