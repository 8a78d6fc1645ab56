//! The gRPC face of configurations by groups of hosts.

use firstlook_model::{GroupName, HostId, HostPattern, Timestamp};
use firstlook_proto::settings::Settings;
use firstlook_proto::wire;
use firstlook_proto::wire::configs_server::Configs;
use firstlook_proto::wire::show_config_request::Of;
use tonic::{Request, Response, Status};

use crate::checks::{host, reason};
use crate::config_office::{ConfigOffice, ConfigRow, HostConfig, WantedRow};
use crate::office::Office;
use crate::service::QueryService;

#[tonic::async_trait]
impl<O: Office + ConfigOffice> Configs for QueryService<O> {
    async fn set_config(
        &self,
        request: Request<wire::SetConfigRequest>,
    ) -> Result<Response<wire::SetConfigReply>, Status> {
        let by = self.responder(&request)?;
        let wanted = wanted(request.into_inner())?;
        let group = wanted.group.clone();
        let (made, known) = self
            .ask(move |office| office.set_config(wanted, &by))
            .await?;
        let hosts = self.hosts_of(group).await?;
        Ok(Response::new(made_reply(&made, known, &hosts)))
    }

    async fn list_configs(
        &self,
        request: Request<wire::ListConfigsRequest>,
    ) -> Result<Response<wire::ListConfigsReply>, Status> {
        self.responder(&request)?;
        let configs = self.ask(|office| office.configs()).await?;
        let hosts = self.ask(|office| office.host_configs()).await?;
        let hosts = hosts.iter().filter(|host| host.is_any());
        Ok(Response::new(wire::ListConfigsReply {
            configs: configs.iter().map(without_text).collect(),
            hosts: hosts.map(host_config).collect(),
        }))
    }

    async fn show_config(
        &self,
        request: Request<wire::ShowConfigRequest>,
    ) -> Result<Response<wire::ShowConfigReply>, Status> {
        self.responder(&request)?;
        let configs = self.ask(|office| office.configs()).await?;
        let of = |name: &GroupName| configs.iter().find(|config| config.group == *name);
        let reply = match request.into_inner().of {
            Some(Of::Group(name)) => {
                let name = group(name)?;
                let config = of(&name).ok_or_else(|| no_group(&name))?;
                let hosts = self.hosts_of(name).await?;
                wire::ShowConfigReply {
                    config: Some(whole(config)),
                    hosts: hosts.iter().map(host_config).collect(),
                }
            }
            Some(Of::Host(name)) => {
                let found = self.host_of(host(name)?).await?;
                wire::ShowConfigReply {
                    config: found.group.as_ref().and_then(of).map(whole),
                    hosts: vec![host_config(&found)],
                }
            }
            None => return Err(Status::invalid_argument("say which group, or which host")),
        };
        Ok(Response::new(reply))
    }

    async fn config_history(
        &self,
        request: Request<wire::ConfigHistoryRequest>,
    ) -> Result<Response<wire::ConfigHistoryReply>, Status> {
        self.responder(&request)?;
        let name = group(request.into_inner().group)?;
        let kept = self.ask(move |office| office.config_history(&name)).await?;
        Ok(Response::new(wire::ConfigHistoryReply {
            configs: kept.iter().map(whole).collect(),
        }))
    }

    async fn revert_config(
        &self,
        request: Request<wire::RevertConfigRequest>,
    ) -> Result<Response<wire::SetConfigReply>, Status> {
        let by = self.responder(&request)?;
        let request = request.into_inner();
        reason(&request.reason)?;
        let name = group(request.group)?;
        let version = (request.version != 0).then_some(request.version);
        let (of, why) = (name.clone(), request.reason);
        let made = self
            .ask(move |office| office.revert_config(&of, version, &why, &by))
            .await?;
        let hosts = self.hosts_of(name).await?;
        Ok(Response::new(made_reply(&made, false, &hosts)))
    }

    async fn remove_config(
        &self,
        request: Request<wire::RemoveConfigRequest>,
    ) -> Result<Response<wire::RemoveConfigReply>, Status> {
        let by = self.responder(&request)?;
        let request = request.into_inner();
        reason(&request.reason)?;
        let name = group(request.group)?;
        let hosts = self.hosts_of(name.clone()).await?;
        self.ask(move |office| office.remove_config(&name, &request.reason, &by))
            .await?;
        Ok(Response::new(wire::RemoveConfigReply {
            hosts: hosts.iter().map(|host| host.host.to_string()).collect(),
        }))
    }
}

impl<O: Office + ConfigOffice> QueryService<O> {
    async fn hosts_of(&self, group: GroupName) -> Result<Vec<HostConfig>, Status> {
        let mut hosts = self.ask(|office| office.host_configs()).await?;
        hosts.retain(|host| host.group.as_ref() == Some(&group));
        Ok(hosts)
    }

    async fn host_of(&self, wanted: HostId) -> Result<HostConfig, Status> {
        let hosts = self.ask(|office| office.host_configs()).await?;
        let found = hosts.into_iter().find(|host| host.host == wanted);
        found.ok_or_else(|| {
            Status::not_found(format!(
                "no host named {wanted}: `firstlook hosts` lists them"
            ))
        })
    }
}

fn no_group(name: &GroupName) -> Status {
    Status::not_found(format!(
        "no group named {name}: `firstlook config list` lists them"
    ))
}

fn group(text: String) -> Result<GroupName, Status> {
    GroupName::new(text).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// The version that a request asks for, checked as its agents will check it.
///
/// # Errors
/// INVALID_ARGUMENT says what is wrong, and where.
fn wanted(request: wire::SetConfigRequest) -> Result<WantedRow, Status> {
    reason(&request.reason)?;
    let patterns = request.patterns.into_iter().map(HostPattern::new);
    let patterns: Result<Vec<_>, _> = patterns.collect();
    if let Err(error) = Settings::read(&request.text) {
        return Err(Status::invalid_argument(format!(
            "{error}; nothing was changed"
        )));
    }
    Ok(WantedRow {
        group: group(request.group)?,
        patterns: patterns.map_err(|error| Status::invalid_argument(error.to_string()))?,
        text: request.text,
        reason: request.reason,
    })
}

fn made_reply(made: &ConfigRow, known: bool, hosts: &[HostConfig]) -> wire::SetConfigReply {
    wire::SetConfigReply {
        config: Some(without_text(made)),
        known,
        hosts: hosts.iter().map(|host| host.host.to_string()).collect(),
    }
}

fn whole(row: &ConfigRow) -> wire::ConfigVersion {
    wire::ConfigVersion {
        version: row.version,
        group: row.group.to_string(),
        patterns: row.patterns.iter().map(ToString::to_string).collect(),
        made: row.made.as_micros(),
        made_by: row.made_by.clone(),
        reason: row.reason.clone(),
        text: row.text.clone(),
    }
}

fn without_text(row: &ConfigRow) -> wire::ConfigVersion {
    wire::ConfigVersion {
        text: String::new(),
        ..whole(row)
    }
}

/// A host's configuration. What its agent said of another version than is wanted now counts as not said, save what runs.
pub fn host_config(host: &HostConfig) -> wire::HostConfig {
    let of_wanted = host
        .report
        .as_ref()
        .filter(|(report, _)| report.version == host.wanted);
    let state = of_wanted.map_or("waiting", |(report, _)| report.state.as_str());
    let text = |name: &GroupName| name.to_string();
    wire::HostConfig {
        host: host.host.to_string(),
        group: host.group.as_ref().map(text).unwrap_or_default(),
        wanted: host.wanted,
        running: host.report.as_ref().map_or(0, |(said, _)| said.running),
        state: state.to_owned(),
        why: of_wanted.map_or_else(String::new, |(report, _)| report.why.clone()),
        reported: host
            .report
            .as_ref()
            .map(|(_, at)| Timestamp::as_micros(*at)),
        passed_over: host.passed_over.iter().map(text).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstlook_model::{ConfigReport, ConfigState};
    use proptest::prelude::*;

    fn asked(text: &str) -> wire::SetConfigRequest {
        wire::SetConfigRequest {
            group: "web".to_owned(),
            patterns: vec!["web*".to_owned()],
            text: text.to_owned(),
            reason: String::new(),
        }
    }

    #[test]
    fn what_is_wrong_is_refused_before_anything_is_kept() {
        for (request, named) in [
            (
                asked("[logs]\nlines_per_second = 0"),
                "line 2: logs.lines_per_second is 0",
            ),
            (
                asked("state_dir = \"/x\""),
                "line 1: unknown field `state_dir`",
            ),
            (
                wire::SetConfigRequest {
                    group: "Web".to_owned(),
                    ..asked("")
                },
                "group name",
            ),
            (
                wire::SetConfigRequest {
                    patterns: vec!["web/1".to_owned()],
                    ..asked("")
                },
                "host pattern",
            ),
            (
                wire::SetConfigRequest {
                    reason: "x".repeat(4_000),
                    ..asked("")
                },
                "reason",
            ),
        ] {
            let status = wanted(request).unwrap_err();
            assert_eq!(status.code(), tonic::Code::InvalidArgument);
            assert!(status.message().contains(named), "{}", status.message());
        }
        assert_eq!(wanted(asked("# nothing")).unwrap().group.as_str(), "web");
    }

    #[test]
    fn what_an_agent_said_of_another_version_is_not_taken_for_the_wanted_one() {
        let said = ConfigReport {
            version: 3,
            state: ConfigState::RolledBack,
            why: "it cost more".to_owned(),
            running: 2,
        };
        let mut host = HostConfig {
            host: HostId::new("h1").unwrap(),
            group: Some(GroupName::new("web").unwrap()),
            wanted: 3,
            report: Some((said, Timestamp::from_secs(1))),
            passed_over: Vec::new(),
        };
        let shown = host_config(&host);
        assert_eq!(
            (&*shown.state, &*shown.why, shown.running),
            ("rolled-back", "it cost more", 2)
        );
        host.wanted = 4;
        let shown = host_config(&host);
        assert_eq!(
            (&*shown.state, &*shown.why, shown.running),
            ("waiting", "", 2)
        );
        host.report = None;
        assert_eq!(host_config(&host).state, "waiting");
    }

    proptest! {
        #[test]
        fn any_request_is_refused_or_names_what_can_be_named(group in "\\PC{0,60}", pattern in "\\PC{0,20}", text in "\\PC{0,40}") {
            let request = wire::SetConfigRequest { group, patterns: vec![pattern.clone()], ..asked(&text) };
            if let Ok(wanted) = wanted(request) {
                prop_assert_eq!(wanted.patterns[0].as_str(), pattern);
                prop_assert!(Settings::read(&wanted.text).is_ok());
            }
        }
    }
}
