//! The lab itself: a machine boots, keeps what is written over a reboot, and has a network of its own.

use crate::container::{Machine, PLAIN};

#[test]
fn a_machine_boots_and_boots_again() {
    let machine = Machine::boot(PLAIN);
    assert_eq!(machine.sh("systemctl is-system-running").trim(), "running");
    machine.write("/etc/note", 0o640, "kept");
    machine.reboot();
    assert_eq!(machine.sh("stat -c %a /etc/note; cat /etc/note"), "640\nkept");
    machine.until("systemctl is-active nginx");
    assert!(machine.net(&["curl", "-s", "http://127.0.0.1/"]).contains("nginx"));
}

#[test]
fn a_program_of_the_host_speaks_in_its_network() {
    let machine = Machine::boot(PLAIN);
    machine.until("systemctl is-active nginx");
    let status = machine
        .net_command(&["curl", "-sf", "-o", "/dev/null", "http://127.0.0.1/"])
        .status();
    assert!(status.unwrap().success());
}
