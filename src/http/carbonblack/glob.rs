//! Names by `*` and `?`, as `directory list` takes them in the last part of a path.

/// The directory and the pattern of a path whose last part is one; else there is none, and the path is the
/// directory itself.
pub(super) fn split(path: &str) -> Option<(&str, &str)> {
    let separators: &[char] = if is_windows(path) { &['\\', '/'] } else { &['/'] };
    let at = path.rfind(separators)?;
    let (directory, pattern) = (path.get(..at)?, path.get(at + 1..)?);
    if !pattern.contains(['*', '?']) {
        return None;
    }
    let root = directory.is_empty() || directory.ends_with(':');
    let directory = if root { path.get(..at + 1)? } else { directory };
    Some((directory, pattern))
}

/// A path that cannot be a Unix one.
pub(super) fn is_windows(path: &str) -> bool {
    !path.starts_with('/')
}

/// Whether `name` fits `pattern`. On Windows without case, and `*.*` is everything.
pub(super) fn matches(pattern: &str, name: &str, windows: bool) -> bool {
    if !windows {
        return fits(pattern, name);
    }
    pattern == "*.*" || fits(&pattern.to_lowercase(), &name.to_lowercase())
}

/// Goes back only to the last star, so the time is bounded by the product of the lengths.
fn fits(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern.chars(), name.chars());
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let left = name.clone();
        match (pattern.next(), name.next()) {
            (Some('*'), _) => {
                retry = Some((pattern.clone(), left.clone()));
                name = left;
            }
            (None, None) => return true,
            (Some('?'), Some(_)) => {}
            (Some(wanted), Some(found)) if wanted == found => {}
            _ => {
                let Some((after, mut from)) = retry.take() else {
                    return false;
                };
                if from.next().is_none() {
                    return false;
                }
                (pattern, name) = (after.clone(), from.clone());
                retry = Some((after, from));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_split_off_the_directory() {
        assert_eq!(split("/tmp/*"), Some(("/tmp", "*")));
        assert_eq!(split("/tmp//*"), Some(("/tmp/", "*")));
        assert_eq!(split("/*"), Some(("/", "*")));
        assert_eq!(split("/var/log/*.lo?"), Some(("/var/log", "*.lo?")));
        assert_eq!(split("C:\\temp\\*"), Some(("C:\\temp", "*")));
        assert_eq!(split("C:\\*"), Some(("C:\\", "*")));
        assert_eq!(split("/tmp/a*b/c"), None);
        assert_eq!(split("/tmp/"), None);
        assert_eq!(split("/tmp/a\\*"), Some(("/tmp", "a\\*")));
    }

    #[test]
    fn names_fit_their_patterns() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "any"),
            ("*.log", "a.log"),
            ("a*b*c", "a--b--b--c"),
            ("?", "é"),
            ("**", "x"),
            ("a*", "a"),
        ] {
            assert!(matches(pattern, name, false), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.log", "a.logs"),
            ("?", ""),
            ("a", "A"),
            ("a*b", "ac"),
            ("", "a"),
        ] {
            assert!(!matches(pattern, name, false), "{pattern} {name}");
        }
    }

    #[test]
    fn windows_knows_no_case_and_its_old_star_dot_star() {
        assert!(matches("*.LOG", "a.log", true));
        assert!(matches("*.*", "noext", true));
        assert!(!matches("*.*", "noext", false));
    }

    #[test]
    fn a_hostile_pattern_takes_no_time_to_speak_of() {
        let name = "a".repeat(2000);
        assert!(!matches(&format!("{}b", "a*".repeat(500)), &name, false));
    }
}
