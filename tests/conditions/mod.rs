//! The conditions that a push must meet before it is deployed, from outside: signatures, source addresses, CI checks.

mod api;
mod checks;
mod keys;
mod openpgp;
mod signed;
mod sources;
mod ssh;
