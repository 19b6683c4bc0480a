//! Host errors as faults: the errno's name as code, the system's text and the path as text.

use rustix::io::Errno;
use std::fmt::Display;
use std::io;
use tripline_protocol::Fault;

/// Names of the errors a verb can meet; `E<number>` for any other.
const NAMES: &[(Errno, &str)] = &[
    (Errno::PERM, "EPERM"),
    (Errno::NOENT, "ENOENT"),
    (Errno::SRCH, "ESRCH"),
    (Errno::INTR, "EINTR"),
    (Errno::IO, "EIO"),
    (Errno::NXIO, "ENXIO"),
    (Errno::TOOBIG, "E2BIG"),
    (Errno::NOEXEC, "ENOEXEC"),
    (Errno::BADF, "EBADF"),
    (Errno::CHILD, "ECHILD"),
    (Errno::AGAIN, "EAGAIN"),
    (Errno::NOMEM, "ENOMEM"),
    (Errno::ACCESS, "EACCES"),
    (Errno::FAULT, "EFAULT"),
    (Errno::NOTBLK, "ENOTBLK"),
    (Errno::BUSY, "EBUSY"),
    (Errno::EXIST, "EEXIST"),
    (Errno::XDEV, "EXDEV"),
    (Errno::NODEV, "ENODEV"),
    (Errno::NOTDIR, "ENOTDIR"),
    (Errno::ISDIR, "EISDIR"),
    (Errno::INVAL, "EINVAL"),
    (Errno::NFILE, "ENFILE"),
    (Errno::MFILE, "EMFILE"),
    (Errno::NOTTY, "ENOTTY"),
    (Errno::TXTBSY, "ETXTBSY"),
    (Errno::FBIG, "EFBIG"),
    (Errno::NOSPC, "ENOSPC"),
    (Errno::SPIPE, "ESPIPE"),
    (Errno::ROFS, "EROFS"),
    (Errno::MLINK, "EMLINK"),
    (Errno::PIPE, "EPIPE"),
    (Errno::DOM, "EDOM"),
    (Errno::RANGE, "ERANGE"),
    (Errno::DEADLK, "EDEADLK"),
    (Errno::NAMETOOLONG, "ENAMETOOLONG"),
    (Errno::NOLCK, "ENOLCK"),
    (Errno::NOSYS, "ENOSYS"),
    (Errno::NOTEMPTY, "ENOTEMPTY"),
    (Errno::LOOP, "ELOOP"),
    (Errno::OVERFLOW, "EOVERFLOW"),
    (Errno::ILSEQ, "EILSEQ"),
    (Errno::USERS, "EUSERS"),
    (Errno::OPNOTSUPP, "EOPNOTSUPP"),
    (Errno::TIMEDOUT, "ETIMEDOUT"),
    (Errno::CONNREFUSED, "ECONNREFUSED"),
    (Errno::HOSTDOWN, "EHOSTDOWN"),
    (Errno::HOSTUNREACH, "EHOSTUNREACH"),
    (Errno::ALREADY, "EALREADY"),
    (Errno::INPROGRESS, "EINPROGRESS"),
    (Errno::STALE, "ESTALE"),
    (Errno::REMOTEIO, "EREMOTEIO"),
    (Errno::DQUOT, "EDQUOT"),
    (Errno::NOMEDIUM, "ENOMEDIUM"),
    (Errno::MEDIUMTYPE, "EMEDIUMTYPE"),
    (Errno::CANCELED, "ECANCELED"),
    (Errno::NOKEY, "ENOKEY"),
    (Errno::KEYEXPIRED, "EKEYEXPIRED"),
    (Errno::KEYREVOKED, "EKEYREVOKED"),
    (Errno::KEYREJECTED, "EKEYREJECTED"),
    (Errno::OWNERDEAD, "EOWNERDEAD"),
    (Errno::RFKILL, "ERFKILL"),
    (Errno::UCLEAN, "EUCLEAN"),
    (Errno::NOLINK, "ENOLINK"),
    (Errno::PROTO, "EPROTO"),
    (Errno::BADMSG, "EBADMSG"),
    (Errno::NODATA, "ENODATA"),
    (Errno::NOTCONN, "ENOTCONN"),
    (Errno::CONNRESET, "ECONNRESET"),
    (Errno::SHUTDOWN, "ESHUTDOWN"),
];

/// The fault for an error about `what`, such as a path.
pub(super) fn fault(errno: Errno, what: impl Display) -> Fault {
    let name = NAMES
        .iter()
        .find(|(known, _)| *known == errno)
        .map(|(_, name)| (*name).to_owned());
    let code = name.unwrap_or_else(|| format!("E{}", errno.raw_os_error()));
    let text = io::Error::from(errno).to_string();
    // The standard library adds the number, which `code` says already.
    let text = text.split(" (os error").next().unwrap_or(&text);
    Fault::live_response(code, format!("{text}: {what}"))
}

/// The same for an error of the standard library; one it found by itself is an invalid argument.
pub(super) fn io_fault(error: &io::Error, what: impl Display) -> Fault {
    match Errno::from_io_error(error) {
        Some(errno) => fault(errno, what),
        None => Fault::live_response("EINVAL", format!("{error}: {what}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_error_has_its_errno_and_the_systems_text() {
        let fault = fault(Errno::NOENT, "/no/such");
        assert_eq!(
            (&*fault.code, &*fault.text),
            ("ENOENT", "No such file or directory: /no/such")
        );
        assert_eq!(super::fault(Errno::ACCESS, "x").code, "EACCES");
        assert_eq!(super::fault(Errno::TOOBIG, "x").code, "E2BIG");
    }

    #[test]
    fn an_unnamed_errno_keeps_its_number() {
        assert_eq!(fault(Errno::from_raw_os_error(4000), "x").code, "E4000");
    }
}
