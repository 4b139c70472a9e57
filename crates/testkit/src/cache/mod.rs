//! Real cache servers for tests: private, in a temporary folder, on free loopback ports, and empty.

mod certificates;
mod cluster;
mod memcached;
mod redis;
mod sentinel;
mod server;

pub use certificates::Certificates;
pub use cluster::RedisCluster;
pub use memcached::Memcached;
pub use redis::Redis;
pub use sentinel::RedisSentinel;
