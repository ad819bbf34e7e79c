//! Open files that go from the supervisor outside of a unit to the one inside.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

/// Most files of one handover.
const FILES_MAX: usize = 4;

/// The byte that files travel with says which of those are there that need not be.
const LIFELINE: u8 = 1;
const PAYLOAD: u8 = 2;

/// What the unit's main process gets besides its order.
pub(super) struct Files<F> {
    /// Standard output of the command.
    pub(super) stdout: F,
    /// Standard error of the command.
    pub(super) stderr: F,
    /// Is locked, and stays so until the last holder of this open file is gone.
    pub(super) lifeline: Option<F>,
    /// The payload, to be read.
    pub(super) payload: Option<F>,
}

/// Sends the files, before anything else is said.
pub(super) fn send(to: impl AsFd, files: &Files<BorrowedFd<'_>>) -> io::Result<()> {
    let mut present = 0;
    let mut all = vec![files.stdout, files.stderr];
    for (flag, file) in [(LIFELINE, files.lifeline), (PAYLOAD, files.payload)] {
        if let Some(file) = file {
            present |= flag;
            all.push(file);
        }
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&all));
    sendmsg(to, &[IoSlice::new(&[present])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives what [`send`] sent.
pub(super) fn receive(from: &UnixStream) -> io::Result<Files<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut present = [0];
    let got = recvmsg(
        from,
        &mut [IoSliceMut::new(&mut present)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if got.bytes == 0 {
        return Err(io::Error::other("no order came"));
    }
    let mut files: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            files.extend(received);
        }
    }
    let mut files = files.into_iter();
    let mut next = || files.next().ok_or_else(|| io::Error::other("a file is missing"));
    let [has_lifeline, has_payload] = [LIFELINE, PAYLOAD].map(|flag| present[0] & flag != 0);
    Ok(Files {
        stdout: next()?,
        stderr: next()?,
        lifeline: has_lifeline.then(&mut next).transpose()?,
        payload: has_payload.then(&mut next).transpose()?,
    })
}

/// Sends one open file.
pub(super) fn send_one(to: impl AsFd, file: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files = [file];
    control.push(SendAncillaryMessage::ScmRights(&files));
    sendmsg(to, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives what [`send_one`] sent.
pub(super) fn receive_one(from: impl AsFd) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(
        from,
        &mut [IoSliceMut::new(&mut [0])],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let received = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    received.ok_or_else(|| io::Error::other("a file is missing"))
}

impl Files<OwnedFd> {
    /// The payload as a file.
    pub(super) fn take_payload(&mut self) -> Option<File> {
        self.payload.take().map(File::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};

    #[test]
    fn files_arrive_in_their_places() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"payload").unwrap();
        file.rewind().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let files = Files {
            stdout: writer.as_fd(),
            stderr: writer.as_fd(),
            lifeline: None,
            payload: Some(file.as_fd()),
        };
        send(&ours, &files).unwrap();
        drop(writer);
        let mut received = receive(&theirs).unwrap();
        let mut text = String::new();
        received.take_payload().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "payload");
        assert!(received.lifeline.is_none());
        File::from(received.stdout).write_all(b"said").unwrap();
        drop(received.stderr);
        text.clear();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "said");
        drop(ours);
        assert!(receive(&theirs).is_err());
    }
}
