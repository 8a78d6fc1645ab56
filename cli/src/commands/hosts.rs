//! `firstlook hosts`.

use firstlook_model::{Inventory, Loss, Timestamp};
use firstlook_proto::wire;
use serde_json::{Value, json};

use super::Context;
use crate::Answer;
use crate::exit::{Exit, Failure};
use crate::json;
use crate::render::{Tone, age, counted, escape, span, table, wrap};

/// A host, checked.
struct Host {
    view: wire::HostView,
    inventory: Option<Inventory>,
    losses: Vec<Loss>,
}

pub async fn run(mut context: Context, host: Option<String>) -> Result<Answer, Failure> {
    let one = host.is_some();
    let request = wire::HostsRequest {
        host: host.clone().unwrap_or_default(),
    };
    let reply = context.client.hosts(request).await?.into_inner();
    let hosts = reply
        .hosts
        .into_iter()
        .map(check)
        .collect::<Result<Vec<_>, Failure>>()?;
    if let (Some(host), true) = (&host, hosts.is_empty()) {
        let message = format!("no host named {host}: `firstlook hosts` lists them");
        return Err(Failure {
            exit: Exit::NotFound,
            message,
        });
    }
    let now = Timestamp::from_micros(reply.reference_time);
    let text = if context.json {
        json::document(
            "hosts",
            json!({
                "reference_time": now,
                "hosts": hosts.iter().map(document).collect::<Vec<_>>(),
            }),
        )?
    } else if one {
        hosts.iter().map(|host| full(host, now)).collect()
    } else {
        list(&context, &hosts, now)
    };
    Ok(Answer::done(text))
}

/// Shuts a host out.
pub async fn revoke(mut context: Context, host: String, reason: String) -> Result<Answer, Failure> {
    let request = wire::RevokeHostRequest {
        host: host.clone(),
        reason,
    };
    let reply = context.client.revoke_host(request).await?.into_inner();
    let text = if context.json {
        json::document(
            "host-revoked",
            json!({
                "host": host,
                "revoked": Timestamp::from_micros(reply.revoked),
                "session_ended": reply.session_ended,
            }),
        )?
    } else {
        let session = match reply.session_ended {
            true => "its session was ended",
            false => "it had no session",
        };
        let host = escape(&host);
        format!(
            "host {host} is revoked: {session}\n\
             To let it in again: firstlook tokens create --host {host}\n"
        )
    };
    Ok(Answer::done(text))
}

fn check(mut view: wire::HostView) -> Result<Host, Failure> {
    let inventory = view.inventory.take().map(Inventory::try_from).transpose()?;
    let losses = std::mem::take(&mut view.losses)
        .into_iter()
        .map(Loss::try_from);
    let losses = losses.collect::<Result<Vec<_>, _>>()?;
    Ok(Host {
        view,
        inventory,
        losses,
    })
}

fn document(host: &Host) -> Value {
    json!({
        "host": host.view.host,
        "state": host.view.state,
        "enrolled": Timestamp::from_micros(host.view.enrolled),
        "last_contact": host.view.last_contact.map(Timestamp::from_micros),
        "clock_offset_s": host.view.clock_offset_micros.map(|us| us as f64 / 1e6),
        "certificate_expires": host.view.certificate_expires.map(Timestamp::from_micros),
        "inventory": host.inventory,
        "losses": host.losses,
        "config": host.view.config.as_ref().map(super::config::host),
    })
}

fn tone(state: &str) -> Tone {
    match state {
        "reporting" => Tone::Good,
        "silent" => Tone::Bad,
        _ => Tone::Unsure,
    }
}

fn list(context: &Context, hosts: &[Host], now: Timestamp) -> String {
    if hosts.is_empty() {
        return "no host has joined: make a token with `firstlook tokens create`\n".to_owned();
    }
    let mut rows = vec![row(["HOST", "STATE", "HEARD", "UP", "CANNOT SEE"])];
    for host in hosts {
        let heard = host.view.last_contact.map(Timestamp::from_micros);
        let up = host.inventory.as_ref().map(|i| span(now.since(i.booted)));
        let blind = host.inventory.as_ref().map_or(0, |i| i.blind.len());
        rows.push(vec![
            escape(&host.view.host),
            escape(&host.view.state),
            heard.map_or_else(|| "never".to_owned(), |at| format!("{} ago", age(at, now))),
            up.unwrap_or_else(|| "?".to_owned()),
            if blind == 0 {
                "-".to_owned()
            } else {
                counted(blind as u64, "source")
            },
        ]);
    }
    let text = table(&rows);
    // Colour after alignment: escapes have no width.
    let mut lines = text.lines();
    let mut out = format!(
        "{}\n",
        context.style.paint(Tone::Faint, lines.next().unwrap_or(""))
    );
    for (line, host) in lines.zip(hosts) {
        let state = escape(&host.view.state);
        let painted = context.style.paint(tone(&host.view.state), &state);
        let (name, rest) = line.split_at(host.view.host.len().min(line.len()));
        out.push_str(&format!("{name}{}\n", rest.replacen(&state, &painted, 1)));
    }
    out
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.into_iter().map(str::to_owned).collect()
}

fn full(host: &Host, now: Timestamp) -> String {
    let mut rows = vec![
        vec!["host".to_owned(), escape(&host.view.host)],
        vec!["state".to_owned(), escape(&host.view.state)],
    ];
    let mut add = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    if let Some(at) = host.view.last_contact {
        add(
            "heard",
            format!("{} ago", age(Timestamp::from_micros(at), now)),
        );
    }
    if let Some(offset) = host.view.clock_offset_micros {
        add(
            "clock",
            format!("{:+.3} s against the collector", offset as f64 / 1e6),
        );
    }
    if let Some(at) = host.view.certificate_expires {
        let left = Timestamp::from_micros(at).since(now);
        add("certificate", format!("ends in {}", span(left)));
    }
    if let Some(i) = &host.inventory {
        add("calls itself", escape(&i.hostname));
        add(
            "system",
            format!("{}, Linux {}", escape(&i.os), escape(&i.kernel)),
        );
        add(
            "size",
            format!("{} cores, {} MiB", i.cores, i.memory_bytes >> 20),
        );
        add("up", span(now.since(i.booted)));
        let addresses: Vec<_> = i.addresses.iter().map(ToString::to_string).collect();
        add("addresses", addresses.join(" "));
        let listeners: Vec<_> = i
            .listeners
            .iter()
            .map(|l| format!("{}:{}", escape(l.component.name()), l.port))
            .collect();
        add("listens", listeners.join(" "));
        add("agent", escape(&i.agent_version));
        for reason in &i.blind {
            add("cannot see", escape(reason));
        }
    }
    if let Some(config) = &host.view.config {
        let text = format!(
            "{}, version {} of {}; {} runs: firstlook config show --host {}",
            escape(&config.state),
            config.wanted,
            escape(&config.group),
            config.running,
            escape(&config.host)
        );
        add("configured", wrap(&text, 14));
    }
    for loss in &host.losses {
        add(
            "lost",
            wrap(
                &format!(
                    "{} from {}: {}",
                    loss.count,
                    escape(&loss.source),
                    escape(&loss.reason)
                ),
                14,
            ),
        );
    }
    table(&rows)
}
