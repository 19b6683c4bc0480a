//! `tripline token`: who may use the server.

use super::output::{Format, or_dash, print, print_json, table};
use super::{Client, Failure, Global};
use clap::{Args, Subcommand};
use tripline_actors::access::TOKENS_MAX;
use tripline_protocol::api::{CreateToken, CreatedToken, Role, TokenView};
use tripline_protocol::{Org, Span};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a token and print it; it is not shown again
    #[command(
        after_help = "Examples:\n  tripline token create --name web --role enrol --uses 20 --expires 24h\n  \
                            tripline token create --name soc --role operator > soc.token"
    )]
    Create(Create),
    /// List tokens, without their secrets
    List,
    /// Revoke a token
    #[command(
        after_help = "Example:\n  tripline token revoke \"$(tripline token list --output json | jq -r '.[0].id')\""
    )]
    Revoke {
        /// Its id, as `tripline token list` shows it
        id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Whom it is for
    #[arg(long)]
    name: String,
    /// What it may do: enrol agents, view, operate (run jobs, publish events), or everything (admin)
    #[arg(long, value_name = "enrol|viewer|operator|admin")]
    role: Role,
    /// The only tenant it may act in [default: all]
    #[arg(long)]
    org: Option<Org>,
    /// How many agents may enrol with it [default: any number]
    #[arg(long, value_name = "N")]
    uses: Option<u32>,
    /// How long it is valid, such as 24h [default: until it is revoked]
    #[arg(long, value_name = "SPAN")]
    expires: Option<Span>,
}

pub(super) async fn run(global: &Global, verb: Verb) -> Result<(), Failure> {
    let client = Client::find(global)?;
    match verb {
        Verb::Create(Create {
            name,
            role,
            org,
            uses,
            expires,
        }) => {
            let request = CreateToken {
                name,
                role,
                org,
                uses,
                expires,
            };
            let created: CreatedToken = client.post(&["tokens"], &request).await?;
            match global.output {
                Format::Json => print_json(&created),
                Format::Table => print(&created.token),
            }
        }
        Verb::List => {
            let (tokens, _) = client.list::<TokenView>(&["tokens"], &[], TOKENS_MAX).await?;
            match global.output {
                Format::Json => print_json(&tokens),
                Format::Table => print(&list(&tokens)),
            }
        }
        Verb::Revoke { id } => client.delete(&["tokens", &id]).await,
    }
}

fn list(tokens: &[TokenView]) -> String {
    let rows = tokens.iter().map(|token| {
        [
            token.id.clone(),
            token.name.clone(),
            token.role.to_string(),
            or_dash(token.org.as_ref()),
            or_dash(token.uses_left),
            token.created_at.to_string(),
            or_dash(token.expires_at),
        ]
    });
    table(
        ["ID", "NAME", "ROLE", "ORG", "USES LEFT", "CREATED", "EXPIRES"],
        rows,
    )
}
