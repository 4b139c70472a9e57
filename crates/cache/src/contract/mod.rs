//! The contract: what every adapter promises.
