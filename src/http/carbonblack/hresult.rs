//! A host's error as the HRESULT that makes it readable in `cbapi`, which shows nothing but its number and
//! the name it has for it; the Unix text goes beside it.

use tripline_protocol::{Fault, FaultClass};

/// No error.
pub(super) const OK: u32 = 0;
/// FACILITY_WIN32 with the severity bit.
const WIN32: u32 = 0x8007_0000;

const CANCELLED: u32 = 1223;
const GEN_FAILURE: u32 = 31;
const INTERNAL_ERROR: u32 = 1359;
const NOT_SUPPORTED: u32 = 50;
const TIMEOUT: u32 = 1460;

/// Of a command that was cancelled.
pub(super) fn cancelled() -> u32 {
    WIN32 | CANCELLED
}

/// Of a command that failed; `directory`: what it was about is one.
pub(super) fn of(fault: &Fault, directory: bool) -> u32 {
    match fault.class {
        FaultClass::LiveResponse => of_host(&fault.code, directory),
        FaultClass::Timeout => WIN32 | of_timeout(&fault.code),
        FaultClass::Unsupported => WIN32 | of_unsupported(&fault.code),
        FaultClass::Server => WIN32 | of_server(&fault.code),
    }
}

/// A Windows agent says its own number (`0x80070005`), a Unix agent an errno's name.
fn of_host(code: &str, directory: bool) -> u32 {
    let number = code.strip_prefix("0x").or_else(|| code.strip_prefix("0X"));
    match number.map(|number| u32::from_str_radix(number, 16)) {
        Some(Ok(number)) if number > 0xffff => number,
        Some(Ok(number)) => WIN32 | number,
        _ => WIN32 | of_errno(code, directory),
    }
}

fn of_errno(code: &str, directory: bool) -> u32 {
    match code {
        "ENOENT" if directory => 3,
        "ENOENT" => 2,
        "EMFILE" | "ENFILE" => 4,
        "EACCES" | "EPERM" | "EISDIR" => 5,
        "EBADF" => 6,
        "ENOMEM" => 8,
        "EXDEV" => 17,
        "EROFS" => 19,
        "ENXIO" | "ENODEV" => 20,
        "E2BIG" => 24,
        "ETXTBSY" => 32,
        "EOPNOTSUPP" => NOT_SUPPORTED,
        "ECONNRESET" | "EPIPE" => 109,
        "EEXIST" => 183,
        "EINVAL" | "ESRCH" | "ERANGE" | "EDOM" | "EILSEQ" | "recycled_pid" => 87,
        "ENOSPC" | "EDQUOT" => 112,
        "ENOSYS" => 120,
        "ENOTEMPTY" => 145,
        "EBUSY" => 170,
        "ENOEXEC" => 193,
        "ENAMETOOLONG" => 206,
        "EFBIG" => 223,
        "ENOTDIR" => 267,
        "EIO" | "EREMOTEIO" => 1117,
        "ECANCELED" => CANCELLED,
        "EHOSTUNREACH" | "EHOSTDOWN" | "ECONNREFUSED" | "ENOTCONN" => 1231,
        "EAGAIN" | "EINTR" => 1237,
        "ETIMEDOUT" => TIMEOUT,
        "ELOOP" => 1921,
        _ => GEN_FAILURE,
    }
}

fn of_timeout(code: &str) -> u32 {
    match code {
        // The network is unreachable: a slow command is something else.
        "host_offline" => 1231,
        _ => TIMEOUT,
    }
}

fn of_unsupported(code: &str) -> u32 {
    match code {
        "path_denied" | "device_denied" | "protected_process" => 5,
        "read_only" => 19,
        "file_too_large" => 223,
        _ => NOT_SUPPORTED,
    }
}

fn of_server(code: &str) -> u32 {
    match code {
        "artifacts_full" | "disk_full" => 112,
        "cancelled" => CANCELLED,
        // Nobody knows how it ended.
        "interrupted" => 995,
        _ => INTERNAL_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_error_is_the_number_that_windows_has_for_it() {
        for (code, directory, number) in [
            ("ENOENT", false, 0x8007_0002),
            ("ENOENT", true, 0x8007_0003),
            ("EACCES", false, 0x8007_0005),
            ("EEXIST", false, 0x8007_00b7),
            ("ESRCH", false, 0x8007_0057),
            ("E4000", false, 0x8007_001f),
            ("0x80070020", false, 0x8007_0020),
            ("0x5", false, 0x8007_0005),
            ("0xzz", false, 0x8007_001f),
        ] {
            assert_eq!(
                of(&Fault::live_response(code, "text"), directory),
                number,
                "{code}"
            );
        }
    }

    #[test]
    fn the_other_classes_are_numbers_that_people_understand() {
        for (fault, number) in [
            (Fault::timeout("command_timeout", ""), 0x8007_05b4),
            (Fault::timeout("host_offline", ""), 0x8007_04cf),
            (Fault::unsupported("unsupported_verb", ""), 0x8007_0032),
            (Fault::unsupported("path_denied", ""), 0x8007_0005),
            (Fault::unsupported("protected_process", ""), 0x8007_0005),
            (Fault::unsupported("not_a_regular_file", ""), 0x8007_0032),
            (Fault::server("interrupted", ""), 0x8007_03e3),
            (Fault::server("whatever", ""), 0x8007_054f),
        ] {
            assert_eq!(of(&fault, false), number, "{fault}");
        }
        assert_eq!(cancelled(), 0x8007_04c7);
    }
}
