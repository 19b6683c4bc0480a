//! What a client makes of one process of a user: the pattern for what counts is tried on its name, then the one for
//! what is prohibited on its command line.

use super::one_line;
use serde::Serialize;
use tripline_protocol::littlebrother::{InvalidUser, UserConfig};

/// What becomes of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// It counts as activity.
    Counts,
    /// It must not run.
    Prohibited,
    /// Nobody looks at it.
    Ignored,
}

/// A process, held against a user's patterns.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Match {
    login: String,
    active: bool,
    name: String,
    command_line: String,
    verdict: Verdict,
    /// The line of the pattern that matches; all lines when they match only together.
    line: Option<String>,
    why: String,
    /// What the lines became.
    expression: String,
    prohibited_expression: Option<String>,
}

impl Match {
    /// Without a command line it is taken to be the name.
    pub(super) fn find(
        user: &UserConfig,
        name: &str,
        command_line: Option<&str>,
    ) -> Result<Self, InvalidUser> {
        let patterns = user.patterns()?;
        let whole = command_line.unwrap_or(name);
        let counts = patterns.process.explain(name);
        let prohibited = patterns
            .prohibited
            .as_ref()
            .and_then(|pattern| pattern.explain(whole));
        let (verdict, line, why) = match (user.active, counts, prohibited) {
            (false, _, _) => (Verdict::Ignored, None, "the user is not active".to_owned()),
            (true, Some(line), _) => (
                Verdict::Counts,
                Some(line),
                by("process_name_pattern", line, "name"),
            ),
            (true, None, Some(line)) => {
                let why = by("prohibited_process_name_pattern", line, "command line");
                (Verdict::Prohibited, Some(line), why)
            }
            (true, None, None) => (Verdict::Ignored, None, nothing(user, command_line.is_some())),
        };
        Ok(Self {
            login: user.login.clone(),
            active: user.active,
            name: name.to_owned(),
            command_line: whole.to_owned(),
            verdict,
            line: line.map(str::to_owned),
            why,
            expression: patterns.process.expression().to_owned(),
            prohibited_expression: patterns
                .prohibited
                .as_ref()
                .map(|pattern| pattern.expression().to_owned()),
        })
    }

    /// As names and values.
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let verdict = match self.verdict {
            Verdict::Counts => "counts as activity",
            Verdict::Prohibited => "prohibited",
            Verdict::Ignored => "not looked at",
        };
        let mut rows = vec![
            ("user", self.login.clone()),
            ("name", self.name.clone()),
            ("command line", self.command_line.clone()),
            ("verdict", verdict.to_owned()),
            ("why", self.why.clone()),
            (
                "counts",
                format!("names that begin with a match of {}", self.expression),
            ),
        ];
        if let Some(expression) = &self.prohibited_expression {
            let text = format!("command lines that begin with a match of {expression}");
            rows.push(("prohibited", text));
        }
        rows
    }
}

fn by(key: &str, line: &str, of: &str) -> String {
    match line.contains('\n') {
        true => format!("the lines of {key} match the {of} together: {}", one_line(line)),
        false => format!("the line {line:?} of {key} matches the {of}"),
    }
}

fn nothing(user: &UserConfig, has_command_line: bool) -> String {
    let mut why = "no line of process_name_pattern matches at the beginning of the name".to_owned();
    match (&user.prohibited_process_name_pattern, has_command_line) {
        (None, _) => why.push_str(", and nothing is prohibited"),
        (Some(_), true) => {
            why.push_str(", and none of prohibited_process_name_pattern matches the command line")
        }
        (Some(_), false) => why.push_str(
            ", and none of prohibited_process_name_pattern matches it as the command line (--command-line)",
        ),
    }
    why
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> UserConfig {
        UserConfig {
            login: "amelie".into(),
            active: true,
            process_name_pattern: "systemd\nbash|zsh\n".into(),
            prohibited_process_name_pattern: Some("minecraft\ngame".into()),
        }
    }

    fn find(name: &str, command_line: Option<&str>) -> Match {
        Match::find(&user(), name, command_line).unwrap()
    }

    #[test]
    fn what_counts_names_its_line() {
        let found = find("my-systemd", None);
        assert_eq!(
            (found.verdict, found.line.as_deref()),
            (Verdict::Counts, Some("systemd"))
        );
        assert_eq!(
            found.why,
            "the line \"systemd\" of process_name_pattern matches the name"
        );
        assert_eq!(find("zsh", None).line.as_deref(), Some("bash|zsh"));
    }

    #[test]
    fn a_bar_within_a_line_is_not_bracketed_and_the_expression_shows_it() {
        let found = find("my-zsh", None);
        assert_eq!(found.verdict, Verdict::Ignored);
        assert!(
            found
                .rows()
                .iter()
                .any(|(_, text)| text.contains("(.*bash|zsh.*)")),
            "{found:?}"
        );
    }

    #[test]
    fn what_is_prohibited_is_looked_for_in_the_command_line_and_only_when_it_does_not_count() {
        let found = find("java", Some("java -jar minecraft.jar"));
        assert_eq!(
            (found.verdict, found.line.as_deref()),
            (Verdict::Prohibited, Some("minecraft"))
        );
        assert_eq!(
            find("systemd", Some("systemd minecraft")).verdict,
            Verdict::Counts
        );
        let found = find("java", None);
        assert_eq!(found.verdict, Verdict::Ignored);
        assert!(found.why.contains("--command-line"), "{}", found.why);
    }

    #[test]
    fn of_a_user_who_is_not_active_nothing_is_looked_at() {
        let user = UserConfig {
            active: false,
            ..user()
        };
        let found = Match::find(&user, "systemd", None).unwrap();
        assert_eq!(
            (found.verdict, &*found.why),
            (Verdict::Ignored, "the user is not active")
        );
    }
}
