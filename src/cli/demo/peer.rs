//! Whose process is at the other end of a loopback connection. What is pushed is built, which runs commands as the user
//! of the demo; so nobody else on this machine may push.

use std::net::{IpAddr, SocketAddr};

/// The kernel's table of TCP sockets over IPv4 (proc(5)).
const TABLE: &str = "/proc/net/tcp";

/// Column of the local address; the one of the remote address follows.
const LOCAL: usize = 1;

/// Column of the user.
const USER: usize = 7;

/// True if the socket that is connected from `peer` to `here` belongs to this process's user, or to root.
pub fn is_own_user(peer: SocketAddr, here: SocketAddr) -> bool {
    let table = std::fs::read_to_string(TABLE).unwrap_or_default();
    let user = user_of(&table, peer, here);
    user.is_some_and(|user| user == 0 || user == nix::unistd::geteuid().as_raw())
}

fn user_of(table: &str, peer: SocketAddr, here: SocketAddr) -> Option<u32> {
    let ends = [written(peer)?, written(here)?];
    table.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        (columns.get(LOCAL..LOCAL + 2)? == ends).then(|| columns.get(USER)?.parse().ok())?
    })
}

/// As the kernel writes it: the address in the byte order of the machine, the port as a number.
fn written(address: SocketAddr) -> Option<String> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    Some(format!(
        "{:08X}:{:04X}",
        u32::from_ne_bytes(ip.octets()),
        address.port()
    ))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn tells_its_own_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        let stream = TcpStream::connect(here).unwrap();
        let peer = stream.local_addr().unwrap();
        assert!(is_own_user(peer, here));
        assert!(!is_own_user(here, here), "a connection that is not there");
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn tells_the_user_of_the_other_end() {
        // The server's end of the connection is in the table, too, and belongs to somebody else.
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F90 0100007F:A001 01 00000000:00000000 00:00000000 00000000     0        0 11 1\n\
             1: 0100007F:A001 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 12 1\n";
        let (peer, here) = ("127.0.0.1:40961".parse().unwrap(), "127.0.0.1:8080".parse().unwrap());
        assert_eq!(user_of(table, peer, here), Some(1000));
        assert_eq!(user_of(table, here, peer), Some(0));
        assert_eq!(user_of(table, peer, peer), None);
        assert_eq!(user_of(table, "[::1]:40961".parse().unwrap(), here), None);
    }
}
