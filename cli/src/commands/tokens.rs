//! `firstlook tokens`.

use firstlook_model::Timestamp;
use firstlook_proto::wire;
use serde_json::{Value, json};

use super::Context;
use crate::Answer;
use crate::args::Tokens;
use crate::exit::Failure;
use crate::json;
use crate::render::{age, escape, span, table};

pub async fn run(context: Context, command: Tokens) -> Result<Answer, Failure> {
    match command {
        Tokens::Create { host, replace } => {
            create(context, host.unwrap_or_default(), replace).await
        }
        Tokens::List => list(context).await,
        Tokens::Revoke { id } => revoke(context, id).await,
    }
}

async fn create(mut context: Context, host: String, replace: bool) -> Result<Answer, Failure> {
    let request = wire::CreateTokenRequest { host, replace };
    let reply = context.client.create_token(request).await?.into_inner();
    let expires = Timestamp::from_micros(reply.expires);
    let text = if context.json {
        json::document(
            "token",
            json!({ "id": reply.id, "token": reply.token, "expires": expires }),
        )?
    } else {
        format!(
            "{}\n\nOn the host, within {}:\n  firstlook-agent join https://COLLECTOR:9443 --token TOKEN\n\
             It is not shown again.\n",
            escape(&reply.token),
            span(expires.since(context.now))
        )
    };
    Ok(Answer::done(text))
}

async fn list(mut context: Context) -> Result<Answer, Failure> {
    let reply = context
        .client
        .list_tokens(wire::ListTokensRequest {})
        .await?
        .into_inner();
    if context.json {
        let tokens: Vec<Value> = reply.tokens.iter().map(document).collect();
        return Ok(Answer::done(json::document(
            "tokens",
            json!({ "tokens": tokens }),
        )?));
    }
    if reply.tokens.is_empty() {
        return Ok(Answer::done("no tokens\n".to_owned()));
    }
    let mut rows = vec![
        ["ID", "STATE", "MADE", "BY", "FOR"]
            .iter()
            .map(|s| (*s).to_owned())
            .collect(),
    ];
    for token in &reply.tokens {
        let made = age(Timestamp::from_micros(token.created), context.now);
        let host = if token.used_by.is_empty() {
            &token.host
        } else {
            &token.used_by
        };
        rows.push(vec![
            escape(&token.id),
            escape(&token.state),
            format!("{made} ago"),
            escape(&token.created_by),
            if host.is_empty() {
                "any host".to_owned()
            } else {
                escape(host)
            },
        ]);
    }
    Ok(Answer::done(table(&rows)))
}

fn document(token: &wire::TokenView) -> Value {
    json!({
        "id": token.id,
        "state": token.state,
        "host": token.host,
        "created": Timestamp::from_micros(token.created),
        "created_by": token.created_by,
        "expires": Timestamp::from_micros(token.expires),
        "used": token.used.map(Timestamp::from_micros),
        "used_by": token.used_by,
    })
}

async fn revoke(mut context: Context, id: String) -> Result<Answer, Failure> {
    context
        .client
        .revoke_token(wire::RevokeTokenRequest { id: id.clone() })
        .await?;
    let text = match context.json {
        true => json::document("token-revoked", json!({ "id": id }))?,
        false => format!("token {} is void\n", escape(&id)),
    };
    Ok(Answer::done(text))
}
