//! Who asks on the control socket or the status address, and what that one may.

use std::net::IpAddr;

use crate::model::Asker;
use crate::operate::By;

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its address; none on a unix socket.
    pub address: Option<IpAddr>,
    /// Its user id, as the kernel has it; only on a unix socket.
    pub uid: Option<u32>,
}

/// Who asks.
#[derive(Debug, Clone)]
pub enum Visitor {
    /// A process that may open the control socket, with its user id.
    Owner(u32),
    /// Whoever reaches a status address that has no log-in: looks, and does not act.
    Onlooker,
}

impl Visitor {
    /// Under whose name an act is noted; none if this one may not act at all.
    pub fn by(&self) -> Option<By> {
        match self {
            Self::Owner(uid) => Some(By {
                asker: Asker::Uid(*uid),
                address: None,
            }),
            Self::Onlooker => None,
        }
    }
}
