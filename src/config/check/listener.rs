//! An address to listen on.

use std::path::Path;

use ipnet::IpNet;

use crate::config::section::Section;
use crate::config::source::{At, Place};
use crate::config::value::Listen;

/// Longest path of a unix socket: `sun_path` has 108 bytes, the last one is 0 (unix(7)).
const SOCKET_PATH_MAX: usize = 107;

/// An address to listen on, as the value of `key`.
pub(super) fn listener(root: &Section, key: &str, text: At<&str>) -> Option<Listen> {
    if let Some(path) = text.value.strip_prefix("unix:") {
        if path.is_empty() {
            root.wrong(
                text.place,
                format!("`{key}`: the path of the unix socket is missing"),
                None,
            );
            return None;
        }
        let path = root.as_path(key, text.with(path))?;
        fits_a_socket(root, key, &path, text.place);
        return Some(Listen::Unix(path));
    }
    if let Ok(address) = text.value.parse() {
        return Some(Listen::Tcp(address));
    }
    let port = text.value.rsplit(':').next().unwrap_or_default();
    let hint = match port.parse::<u16>() {
        Ok(port) if text.value.starts_with("localhost:") => format!("write \"127.0.0.1:{port}\""),
        Ok(port) => format!("write \"127.0.0.1:{port}\", or \"0.0.0.0:{port}\" for all addresses"),
        Err(_) => "write \"ADDRESS:PORT\" with a numeric address, or \"unix:PATH\"".to_owned(),
    };
    root.wrong(
        text.place,
        format!("`{key}` needs an address with a port, or `unix:PATH`"),
        hint,
    );
    None
}

/// A longer path is refused by the kernel, when the socket is made.
pub(super) fn fits_a_socket(root: &Section, key: &str, path: &Path, place: Place) {
    let length = path.as_os_str().len();
    if length > SOCKET_PATH_MAX {
        root.wrong(
            place,
            format!("`{key}`: the path of a unix socket has at most {SOCKET_PATH_MAX} bytes, this one {length}"),
            "choose a shorter one, below /run say",
        );
    }
}

/// A network in CIDR notation, or one address.
pub(super) fn network(section: &Section, key: &str, text: At<&str>) -> Option<IpNet> {
    let one_address = || text.value.parse::<std::net::IpAddr>().map(IpNet::from);
    let network = text.value.parse::<IpNet>().or_else(|_| one_address());
    if network.is_err() {
        let message = format!("`{key}`: `{}` is not a network", text.value.escape_debug());
        section.wrong(
            text.place,
            message,
            "a network is written like \"10.0.0.0/8\" or \"2001:db8::/32\"",
        );
    }
    network.ok().map(|network| network.trunc())
}
