//! Deliveries of every forge over HTTP, signed and sent by somebody else's code: what deploys, what does not, and what is
//! answered to those that are wrong. The manual's table of forges stands on these tests.

mod checks;
mod events;
mod hooks;
mod live;
mod printed;
mod refused;
mod sender;
