//! Values nobody thought of, of every type that crosses the wire.

use crate::littlebrother::client_message;
use crate::samples::p;
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use serde_json::Value;
use std::net::{Ipv4Addr, Ipv6Addr};
use tripline_protocol::frame::*;
use tripline_protocol::step::{OnError, Step, Truncated, When};
use tripline_protocol::verb::*;
use tripline_protocol::*;
use uuid::Uuid;

pub(crate) fn uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

pub(crate) fn command_id() -> impl Strategy<Value = CommandId> {
    uuid().prop_map(CommandId)
}

pub(crate) fn etype() -> impl Strategy<Value = Etype> {
    "[A-Za-z0-9_äß-]{1,12}(\\.[A-Za-z0-9_$-]{1,12}){0,4}".prop_map(|text| p(&text))
}

/// Of few words, so that patterns and etypes meet.
pub(crate) fn short_etype() -> impl Strategy<Value = String> {
    "[abc](\\.[abc]){0,3}"
}

pub(crate) fn pattern() -> impl Strategy<Value = String> {
    "([abc*]\\.){0,3}[abc*>]"
}

pub(crate) fn span() -> impl Strategy<Value = Span> {
    any::<u64>().prop_map(Span::from_millis)
}

pub(crate) fn path() -> impl Strategy<Value = RemotePath> {
    prop_oneof![
        "/[^\u{0}]{0,40}".prop_map(RemotePath::from),
        vec(1_u8.., 1..40).prop_map(RemotePath::from),
    ]
}

/// JSON a few levels deep. Numbers are those that survive JSON: whole ones of 64 bits.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// A value that is there: an output of null reads as none.
pub(crate) fn some_value() -> impl Strategy<Value = Value> {
    value().prop_filter("null is none", |value| !value.is_null())
}

pub(crate) fn create_process() -> impl Strategy<Value = CreateProcess> {
    let argument = vec(1_u8.., 0..20).prop_map(RemotePath::from);
    let program = prop_oneof![
        (path(), vec(argument, 0..4)).prop_map(|(program, rest)| {
            let argv = std::iter::once(program).chain(rest).collect();
            CreateProcess {
                argv: Some(argv),
                ..CreateProcess::default()
            }
        }),
        "[a-z]{1,9} [^\u{0}]{0,20}".prop_map(|text| CreateProcess {
            command: Some(text),
            ..CreateProcess::default()
        }),
    ];
    let environment = btree_map("[A-Za-z_]{1,8}", "[^\u{0}]{0,12}", 0..4);
    (
        program,
        of(path()),
        environment,
        of(any::<bool>()),
        of(span()),
        of(path()),
        of(0..=65_536_u64),
    )
        .prop_map(
            |(program, working_directory, environment, wait, timeout, output_path, output_bytes_max)| {
                CreateProcess {
                    working_directory,
                    environment,
                    wait,
                    timeout,
                    output_path,
                    output_bytes_max,
                    ..program
                }
            },
        )
}

pub(crate) fn put_file() -> impl Strategy<Value = PutFile> {
    let hash = any::<[u8; 32]>().prop_map(|digest| Sha256::from_digest(&digest));
    let content = prop_oneof![
        any::<String>().prop_map(|text| (Some(text), None, None)),
        "[A-Za-z0-9+/]{4}{0,5}".prop_map(|text| (None, Some(text), None)),
        hash.prop_map(|hash| (None, None, Some(hash))),
    ];
    (path(), content, of(0..=0o7777_u32), of(any::<bool>())).prop_map(
        |(path, (content, content_b64, artifact), mode, overwrite)| PutFile {
            path,
            content,
            content_b64,
            artifact,
            mode,
            overwrite,
        },
    )
}

pub(crate) fn call() -> impl Strategy<Value = VerbCall> {
    let get = || {
        (path(), of(any::<u64>()), of(any::<u64>())).prop_map(|(path, offset, bytes_max)| GetFile {
            path,
            offset,
            bytes_max,
        })
    };
    let key = || any::<String>().prop_map(|path| RegistryPath { path });
    let set = (any::<String>(), value(), of(any::<String>()), of(any::<bool>())).prop_map(
        |(path, value, value_type, overwrite)| SetRegistryValue {
            path,
            value,
            value_type,
            overwrite,
        },
    );
    let kill = (1_u32.., of(any::<i64>()), of(span())).prop_map(|(pid, start_time, wait)| KillProcess {
        pid,
        start_time,
        wait,
    });
    let network = prop_oneof![
        (any::<Ipv4Addr>(), 1..=32_u8).prop_map(|(first, prefix)| format!("{first}/{prefix}")),
        (any::<Ipv6Addr>(), 1..=128_u8).prop_map(|(first, prefix)| format!("{first}/{prefix}")),
    ]
    .prop_map(|text| text.parse::<Network>().unwrap())
    // As `::ffff:0:0/96` is.
    .prop_filter("all addresses there are", |network| !network.is_everything());
    let seconds = of(60..=30 * 86_400_u64).prop_map(|seconds| seconds.map(Span::from_secs));
    let isolate = (seconds, any::<bool>(), vec(network, 0..4)).prop_map(|(lasts, persist, allow)| Isolate {
        lasts,
        persist,
        allow,
    });
    prop_oneof![
        isolate.prop_map(VerbCall::Isolate),
        Just(VerbCall::Unisolate(NoArguments {})),
        get().prop_map(VerbCall::GetFile),
        put_file().prop_map(VerbCall::PutFile),
        path().prop_map(|path| VerbCall::DeleteFile(PathOnly { path })),
        path().prop_map(|path| VerbCall::ListDirectory(PathOnly { path })),
        (path(), any::<bool>())
            .prop_map(|(path, parents)| VerbCall::CreateDirectory(CreateDirectory { path, parents })),
        (path(), of(any::<u32>())).prop_map(|(path, depth_max)| VerbCall::Walk(Walk { path, depth_max })),
        Just(VerbCall::ListProcesses(NoArguments {})),
        kill.prop_map(VerbCall::KillProcess),
        create_process().prop_map(VerbCall::CreateProcess),
        get().prop_map(VerbCall::GetRawFile),
        (path(), of((1..u32::MAX, of(any::<i64>()))), any::<bool>()).prop_map(|(path, process, compress)| {
            let (pid, start_time) = process.map_or((None, None), |(pid, start)| (Some(pid), start));
            VerbCall::Memdump(Memdump {
                path,
                pid,
                start_time,
                compress,
            })
        }),
        key().prop_map(VerbCall::ListRegistryKeysAndValues),
        key().prop_map(VerbCall::ListRegistryKeys),
        key().prop_map(VerbCall::GetRegistryValue),
        set.prop_map(VerbCall::SetRegistryValue),
        key().prop_map(VerbCall::CreateRegistryKey),
        key().prop_map(VerbCall::DeleteRegistryKey),
        key().prop_map(VerbCall::DeleteRegistryValue),
    ]
}

pub(crate) fn fault() -> impl Strategy<Value = Fault> {
    (any::<String>(), any::<String>(), of(some_value()), 0..4_u8).prop_map(|(code, text, detail, class)| {
        let fault = match class {
            0 => Fault::timeout(code, text),
            1 => Fault::live_response(code, text),
            2 => Fault::unsupported(code, text),
            _ => Fault::server(code, text),
        };
        Fault { detail, ..fault }
    })
}

pub(crate) fn agent_frame() -> impl Strategy<Value = AgentFrame> {
    let result = (command_id(), of(some_value()), of(fault()), of(any::<u64>())).prop_map(
        |(command_id, output, error, bytes)| {
            let truncated = bytes.map(|bytes| Truncated { bytes });
            AgentFrame::Result(Box::new(CommandResult {
                command_id,
                output,
                error,
                truncated,
            }))
        },
    );
    let event = (any::<String>(), etype(), any::<u32>(), value()).prop_map(|(id, etype, seconds, data)| {
        let time = Timestamp::from_micros(i64::from(seconds) * 1_000_000);
        AgentFrame::Event(Box::new(AgentEvent {
            id,
            etype,
            time,
            data,
        }))
    });
    let littlebrother =
        (any::<u64>(), client_message()).prop_map(|(seq, message)| AgentFrame::Littlebrother {
            seq,
            message: Box::new(message),
        });
    prop_oneof![
        littlebrother,
        command_id().prop_map(|command_id| AgentFrame::Accepted { command_id }),
        (command_id(), any::<u64>())
            .prop_map(|(command_id, bytes)| AgentFrame::Progress { command_id, bytes }),
        (command_id(), any::<u64>()).prop_map(|(command_id, bytes)| AgentFrame::Credit { command_id, bytes }),
        result,
        event,
        Just(AgentFrame::Ping),
        Just(AgentFrame::Pong),
        Just(AgentFrame::Unknown),
    ]
}

pub(crate) fn server_frame() -> impl Strategy<Value = ServerFrame> {
    let command = (command_id(), any::<u64>(), call(), any::<u64>()).prop_map(
        |(command_id, epoch, call, remaining_ms)| {
            let command = Command {
                command_id,
                epoch,
                call,
                remaining_ms,
                transfer: None,
                resume: None,
            };
            ServerFrame::Command(Box::new(command))
        },
    );
    prop_oneof![
        command,
        command_id().prop_map(|command_id| ServerFrame::Cancel { command_id }),
        vec(command_id(), 0..5).prop_map(|command_ids| ServerFrame::Ack { command_ids }),
        any::<String>().prop_map(|id| ServerFrame::EventAck { id }),
        any::<String>().prop_map(|reason| ServerFrame::Bye { reason }),
        (any::<u64>(), client_message()).prop_map(|(seq, message)| ServerFrame::Littlebrother {
            seq,
            events: message.events,
        }),
        (uuid(), any::<u64>(), any::<String>(), any::<bool>()).prop_map(
            |(host, epoch, server_version, littlebrother)| {
                ServerFrame::Welcome {
                    host_id: HostId(host),
                    epoch,
                    server_version,
                    littlebrother,
                }
            }
        ),
    ]
}

fn on_error() -> impl Strategy<Value = OnError> {
    let goto = "[a-z0-9][a-z0-9_-]{0,63}".prop_map(|id| OnError::Goto(id.parse().unwrap()));
    prop_oneof![Just(OnError::Fail), Just(OnError::Continue), goto]
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    (
        call(),
        of(any::<String>()),
        of(span()),
        of(any::<String>()),
        on_error(),
        any::<bool>(),
    )
        .prop_map(|(call, id, timeout, when, on_error, idempotent)| Step {
            id,
            timeout,
            when: when.map(When::Late),
            on_error,
            idempotent,
            ..Step::new(call.verb(), call.to_args())
        })
}
