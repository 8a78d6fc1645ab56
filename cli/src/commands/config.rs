//! `firstlook config`: configuration of agents by groups of hosts.

use std::io::Read;
use std::path::Path;

use firstlook_model::Timestamp;
use firstlook_model::remote::CONFIG_LIMIT_BYTES;
use firstlook_proto::wire;
use firstlook_proto::wire::show_config_request::Of;
use serde_json::{Value, json};

use super::Context;
use crate::Answer;
use crate::args::Config;
use crate::exit::Failure;
use crate::json;
use crate::render::{age, counted, escape, table, wrap};

pub async fn run(context: Context, command: Config) -> Result<Answer, Failure> {
    match command {
        Config::Set {
            group,
            file,
            hosts,
            reason,
        } => set(context, group, &file, hosts, reason).await,
        Config::List => list(context).await,
        Config::Show { group, host } => show(context, group, host).await,
        Config::History { group } => history(context, group).await,
        Config::Revert {
            group,
            version,
            reason,
        } => revert(context, group, version, reason).await,
        Config::Remove { group, reason } => remove(context, group, reason).await,
    }
}

async fn set(
    mut context: Context,
    group: String,
    file: &Path,
    patterns: Vec<String>,
    reason: String,
) -> Result<Answer, Failure> {
    let request = wire::SetConfigRequest {
        group,
        patterns,
        text: read(file)?,
        reason,
    };
    let reply = context.configs.set_config(request).await?.into_inner();
    made(&context, reply)
}

async fn revert(
    mut context: Context,
    group: String,
    version: Option<u64>,
    reason: String,
) -> Result<Answer, Failure> {
    let request = wire::RevertConfigRequest {
        group,
        version: version.unwrap_or_default(),
        reason,
    };
    let reply = context.configs.revert_config(request).await?.into_inner();
    made(&context, reply)
}

fn made(context: &Context, reply: wire::SetConfigReply) -> Result<Answer, Failure> {
    let config = reply
        .config
        .ok_or_else(|| Failure::failed("the answer holds no version"))?;
    let text = if context.json {
        let document = json!({
            "config": head(&config),
            "known": reply.known,
            "hosts": reply.hosts,
        });
        json::document("config-set", document)?
    } else {
        let what = match reply.known {
            true => "is so already",
            false => "is wanted",
        };
        let hosts = reply.hosts.len() as u64;
        format!(
            "version {} of {} {what} on {}\nsee how it fares: firstlook config show {}\n",
            config.version,
            escape(&config.group),
            counted(hosts, "host"),
            escape(&config.group)
        )
    };
    Ok(Answer::done(text))
}

async fn list(mut context: Context) -> Result<Answer, Failure> {
    let request = wire::ListConfigsRequest {};
    let reply = context.configs.list_configs(request).await?.into_inner();
    if context.json {
        let document = json!({
            "configs": reply.configs.iter().map(head).collect::<Vec<_>>(),
            "hosts": reply.hosts.iter().map(host).collect::<Vec<_>>(),
        });
        return Ok(Answer::done(json::document("configs", document)?));
    }
    if reply.configs.is_empty() {
        return Ok(Answer::done(
            "no group has a configuration: make one with `firstlook config set`\n".to_owned(),
        ));
    }
    let mut rows = vec![cells(["GROUP", "VERSION", "MADE", "RUNNING", "HOSTS"])];
    for config in &reply.configs {
        let of: Vec<_> = reply
            .hosts
            .iter()
            .filter(|host| host.group == config.group)
            .collect();
        let running = of.iter().filter(|host| host.running == host.wanted);
        rows.push(vec![
            escape(&config.group),
            config.version.to_string(),
            format!(
                "{} ago",
                age(Timestamp::from_micros(config.made), context.now)
            ),
            format!("{} of {}", running.count(), of.len()),
            escape(&config.patterns.join(" ")),
        ]);
    }
    Ok(Answer::done(table(&rows)))
}

async fn show(
    mut context: Context,
    group: Option<String>,
    of_host: Option<String>,
) -> Result<Answer, Failure> {
    let of = group.map(Of::Group).or(of_host.map(Of::Host));
    let request = wire::ShowConfigRequest { of };
    let reply = context.configs.show_config(request).await?.into_inner();
    if context.json {
        let document = json!({
            "config": reply.config.as_ref().map(whole),
            "hosts": reply.hosts.iter().map(host).collect::<Vec<_>>(),
        });
        return Ok(Answer::done(json::document("config", document)?));
    }
    let mut out = match &reply.config {
        Some(config) => described(config, context.now),
        None => "no group has this host: its own file alone is wanted\n".to_owned(),
    };
    if !reply.hosts.is_empty() {
        out.push('\n');
    }
    out.push_str(&fares(&reply.hosts));
    Ok(Answer::done(out))
}

/// A version with its text.
fn described(config: &wire::ConfigVersion, now: Timestamp) -> String {
    let mut out = format!(
        "{}  version {}, made {} ago by {}\nhosts: {}\n",
        escape(&config.group),
        config.version,
        age(Timestamp::from_micros(config.made), now),
        escape(&config.made_by),
        wrap(&escape(&config.patterns.join(" ")), 7)
    );
    if !config.reason.is_empty() {
        out.push_str(&format!("reason: {}\n", wrap(&escape(&config.reason), 8)));
    }
    out.push('\n');
    for line in config.text.lines() {
        out.push_str(&format!("    {}\n", escape(line)));
    }
    out
}

/// How hosts fare with what is wanted of them.
fn fares(hosts: &[wire::HostConfig]) -> String {
    if hosts.is_empty() {
        return String::new();
    }
    let number = |version: u64| match version {
        0 => "none".to_owned(),
        version => version.to_string(),
    };
    let mut rows = vec![cells(["HOST", "STATE", "WANTED", "RUNNING", "WHY"])];
    for host in hosts {
        let mut why = host.why.clone();
        if !host.passed_over.is_empty() {
            let others = host.passed_over.join(" ");
            let counts = format!("{} counts before {others}", host.group);
            why = [why, counts].join("; ").trim_start_matches("; ").to_owned();
        }
        rows.push(vec![
            escape(&host.host),
            escape(&host.state),
            number(host.wanted),
            number(host.running),
            if why.is_empty() {
                "-".to_owned()
            } else {
                escape(&why)
            },
        ]);
    }
    table(&rows)
}

async fn history(mut context: Context, group: String) -> Result<Answer, Failure> {
    let request = wire::ConfigHistoryRequest { group };
    let reply = context.configs.config_history(request).await?.into_inner();
    if context.json {
        let versions: Vec<Value> = reply.configs.iter().map(whole).collect();
        let document = json!({ "configs": versions });
        return Ok(Answer::done(json::document("config-history", document)?));
    }
    let mut rows = vec![cells(["VERSION", "MADE", "BY", "HOSTS", "REASON"])];
    for config in &reply.configs {
        rows.push(vec![
            config.version.to_string(),
            format!(
                "{} ago",
                age(Timestamp::from_micros(config.made), context.now)
            ),
            escape(&config.made_by),
            escape(&config.patterns.join(" ")),
            if config.reason.is_empty() {
                "-".to_owned()
            } else {
                escape(&config.reason)
            },
        ]);
    }
    Ok(Answer::done(table(&rows)))
}

async fn remove(mut context: Context, group: String, reason: String) -> Result<Answer, Failure> {
    let request = wire::RemoveConfigRequest {
        group: group.clone(),
        reason,
    };
    let reply = context.configs.remove_config(request).await?.into_inner();
    let text = match context.json {
        true => json::document(
            "config-removed",
            json!({ "group": group, "hosts": reply.hosts }),
        )?,
        false => format!(
            "{} is removed; {} had its configuration\n",
            escape(&group),
            counted(reply.hosts.len() as u64, "host")
        ),
    };
    Ok(Answer::done(text))
}

fn cells<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.into_iter().map(str::to_owned).collect()
}

fn head(config: &wire::ConfigVersion) -> Value {
    json!({
        "version": config.version,
        "group": config.group,
        "patterns": config.patterns,
        "made": Timestamp::from_micros(config.made),
        "made_by": config.made_by,
        "reason": config.reason,
    })
}

fn whole(config: &wire::ConfigVersion) -> Value {
    let mut value = head(config);
    if let Value::Object(fields) = &mut value {
        fields.insert("text".into(), config.text.clone().into());
    }
    value
}

/// A host's configuration; also a part of `hosts`.
pub fn host(host: &wire::HostConfig) -> Value {
    let some = |version: u64| (version != 0).then_some(version);
    json!({
        "host": host.host,
        "group": Some(&host.group).filter(|group| !group.is_empty()),
        "wanted": some(host.wanted),
        "running": some(host.running),
        "state": host.state,
        "why": host.why,
        "reported": host.reported.map(Timestamp::from_micros),
        "passed_over": host.passed_over,
    })
}

/// A file's text, or that of standard input.
fn read(file: &Path) -> Result<String, Failure> {
    let unread = |error: std::io::Error| {
        Failure::usage(format!("{} cannot be read: {error}", file.display()))
    };
    let limit = CONFIG_LIMIT_BYTES as u64;
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().take(limit + 1).read_to_string(&mut text)
    } else {
        let opened = std::fs::File::open(file).map_err(unread)?;
        opened.take(limit + 1).read_to_string(&mut text)
    }
    .map_err(unread)?;
    if text.len() > CONFIG_LIMIT_BYTES {
        return Err(Failure::usage(format!(
            "{} holds more than {CONFIG_LIMIT_BYTES} bytes",
            file.display()
        )));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_agents_say_fits_a_terminal_and_is_escaped() {
        let host = wire::HostConfig {
            host: "web1".to_owned(),
            group: "web".to_owned(),
            wanted: 7,
            running: 0,
            state: "rolled-back".to_owned(),
            why: "memory \u{1b}[2J is 31 MiB, and budget.memory_mib is 8, and that is more than before it".to_owned(),
            reported: None,
            passed_over: vec!["all".to_owned()],
        };
        let text = fares(&[host]);
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert!(
            !text.contains('\u{1b}') && text.contains("web counts before"),
            "{text}"
        );
        assert!(text.contains("none"), "{text}");
    }
}
