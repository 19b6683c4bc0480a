//! What a pipeline would have done that only says so.

use super::{Why, Withheld};
use crate::audit::Redactor;
use crate::pipeline::{as_written, step_id};
use crate::scheduler::NewJob;
use serde_json::Value;
use tripline_protocol::api::DryRun;
use tripline_protocol::step::Step;

/// Most bytes of the steps, as JSON.
const STEPS_BYTES_MAX: usize = 4 * 1024;
/// What stands for arguments that are too long.
const CUT: &str = "…";

impl Withheld {
    /// A job that is not made. Contents and what looks like a secret are left out, as in the audit.
    pub(crate) fn dry_run(job: &NewJob, redact: &Redactor) -> Option<Self> {
        let pipeline = &job.pipeline.as_ref()?.name;
        let (spec, host) = (&job.spec, &job.host);
        let text = format!(
            "it is a dry run: it would run job {} on {}",
            spec.name, host.hostname
        );
        let steps = spec.steps.iter().enumerate();
        let steps = steps.map(|(index, step)| (step_id(step, index), step));
        let finally = spec.finally.iter();
        let finally = finally.map(|step| (step.id.clone().unwrap_or_default(), step));
        let (steps, steps_omitted) = cut(steps.chain(finally), redact);
        Some(Self {
            would: Some(Box::new(DryRun {
                job: spec.name.clone(),
                host: host.clone(),
                steps,
                steps_omitted,
            })),
            ..Self::new(pipeline, Why::DryRun, text)
        })
    }
}

/// As many steps as fit, and how many are left out. One whose arguments do not fit is there without them.
fn cut<'s>(steps: impl Iterator<Item = (String, &'s Step)>, redact: &Redactor) -> (Vec<Value>, u32) {
    let (mut kept, mut omitted, mut left) = (Vec::new(), 0, STEPS_BYTES_MAX);
    for (id, step) in steps {
        let with = |args: Value| {
            as_written(&Step {
                id: Some(id.clone()),
                args,
                ..step.clone()
            })
        };
        let forms = [with(redact.in_arguments(step.args.clone())), short(&id, step)];
        let sizes = forms.map(|form| (form.to_string().len(), form));
        match sizes.into_iter().find(|(size, _)| *size <= left) {
            Some((size, form)) => {
                left -= size;
                kept.push(form);
            }
            None => omitted += 1,
        }
    }
    (kept, omitted)
}

/// A step of which only its name is told.
fn short(id: &str, step: &Step) -> Value {
    serde_json::json!({"id": id, step.verb.as_str(): CUT})
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tripline_protocol::verb::Verb;

    fn steps(lengths: &[usize]) -> Vec<Step> {
        let step = |length: &usize| Step::new(Verb::GetFile, json!({"path": "x".repeat(*length)}));
        lengths.iter().map(step).collect()
    }

    fn shown(steps: &[Step]) -> (Vec<Value>, u32) {
        let named = steps.iter().enumerate();
        cut(
            named.map(|(index, step)| (step_id(step, index), step)),
            &Redactor::default(),
        )
    }

    #[test]
    fn steps_are_shown_up_to_their_bound_and_then_by_name_and_then_counted() {
        let empty = shown(&steps(&[0])).0[0].to_string().len();
        let (kept, omitted) = shown(&steps(&[STEPS_BYTES_MAX - empty]));
        assert_eq!((kept[0].to_string().len(), omitted), (STEPS_BYTES_MAX, 0));
        let (kept, _) = shown(&steps(&[STEPS_BYTES_MAX - empty + 1, 3]));
        assert_eq!(
            kept,
            [
                json!({"id": "step1", "get_file": "…"}),
                json!({"id": "step2", "get_file": {"path": "xxx"}, "when": true}),
            ]
        );
        let (kept, omitted) = shown(&steps(&[STEPS_BYTES_MAX - empty, 3, 3]));
        assert_eq!((kept.len(), omitted), (1, 2));
    }

    #[test]
    fn contents_and_secrets_are_left_out() {
        let content = Step::new(
            Verb::PutFile,
            json!({"path": "/etc/x", "content": "confidential"}),
        );
        let secret = Step::new(
            Verb::CreateProcess,
            json!({"argv": ["mysql", "--password=hunter2"], "environment": {"KEY": "hunter2"}}),
        );
        let (kept, _) = shown(&[content, secret]);
        let text = json!(kept).to_string();
        assert!(
            !text.contains("confidential") && !text.contains("hunter2"),
            "{text}"
        );
        assert!(text.contains("/etc/x") && text.contains("mysql"), "{text}");
    }
}
