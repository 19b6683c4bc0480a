//! What a module for macOS will need that can be said, and tested, on every system: the commands it gives.
//!
//! On macOS a user who may not go on is not met by ending single processes: the login window's own processes carry
//! the user's effective id and start again. `launchctl` ends the whole graphical session instead, as the real
//! LittleBrother client does. Prohibited processes are ended one by one there, too.
//!
//! Deliberately not here: running the command, which belongs to the module's `end_processes`.

use std::ffi::OsString;

/// By its path: what `PATH` says must not matter to an agent that runs as root.
const LAUNCHCTL: &str = "/bin/launchctl";
/// The first user id of a person; below it are root and the services of the system.
const UID_MIN: u32 = 500;

/// Why a session is not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("user {0} is root or a service of the system: its session is not ended")]
pub struct NoPerson(pub u32);

/// The program and its arguments that end the graphical session of a user, with all of its processes. It has to be
/// run as root, without a shell.
pub fn end_session(uid: u32) -> Result<[OsString; 3], NoPerson> {
    if uid < UID_MIN {
        return Err(NoPerson(uid));
    }
    Ok([LAUNCHCTL.into(), "bootout".into(), format!("gui/{uid}").into()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_of_a_person_is_ended_by_launchctl() {
        assert_eq!(
            end_session(501).unwrap(),
            ["/bin/launchctl", "bootout", "gui/501"].map(OsString::from)
        );
        assert_eq!(end_session(u32::MAX).unwrap()[2], "gui/4294967295");
    }

    #[test]
    fn the_session_of_the_system_is_never_ended() {
        for uid in [0, 1, 88, 499] {
            assert_eq!(end_session(uid), Err(NoPerson(uid)));
        }
        assert!(end_session(500).is_ok());
    }
}
