//! What a responder names: a component, a host, or a part of a name.

use firstlook_model::{ComponentId, ComponentKind, HostId};
use tonic::Status;

/// What a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// Everything.
    All,
    /// A host and all that is on it.
    Host(HostId),
    /// One component.
    Component(ComponentId),
}

impl About {
    /// Reads `text`: an id (`service:db1/nginx.service`), a label (`db1/nginx.service`, with or without
    /// `.service`), or a host's name. Empty means everything.
    ///
    /// # Errors
    /// NOT_FOUND when a label names nothing in `known`; INVALID_ARGUMENT when it names several.
    pub fn read(text: &str, known: &[ComponentId]) -> Result<Self, Status> {
        if text.is_empty() {
            return Ok(Self::All);
        }
        if let Ok(component) = text.parse::<ComponentId>() {
            return Ok(Self::Component(component));
        }
        if let Ok(host) = HostId::new(text) {
            return Ok(Self::Host(host));
        }
        let fits = |c: &&ComponentId| {
            let label = c.label();
            label == text || label.strip_suffix(".service") == Some(text)
        };
        Self::only(text, known.iter().filter(fits).cloned())
    }

    /// The only one of the components that `text` may mean.
    ///
    /// # Errors
    /// NOT_FOUND when there is none; INVALID_ARGUMENT when there are several.
    pub fn only(text: &str, mut meant: impl Iterator<Item = ComponentId>) -> Result<Self, Status> {
        match (meant.next(), meant.next()) {
            (Some(one), None) => Ok(Self::Component(one)),
            (None, _) => Err(Status::not_found(format!(
                "no component is named {text:?}: `firstlook map --all` lists them"
            ))),
            (Some(one), Some(other)) => Err(Status::invalid_argument(format!(
                "{text:?} may mean {one} or {other}: say which"
            ))),
        }
    }

    /// Every component whose label may be `text`, known or not. Empty where it names no host.
    pub fn possible(text: &str) -> Vec<ComponentId> {
        let Some((host, name)) = text.split_once('/') else {
            return Vec::new();
        };
        let Ok(host) = HostId::new(host) else {
            return Vec::new();
        };
        let names = [
            (ComponentKind::Service, name.to_owned()),
            (ComponentKind::Service, format!("{name}.service")),
            (ComponentKind::Filesystem, format!("/{name}")),
            (ComponentKind::Disk, name.to_owned()),
            (ComponentKind::Interface, name.to_owned()),
        ];
        let on_host =
            |(kind, name): (_, String)| ComponentId::on_host(kind, host.clone(), &name).ok();
        names.into_iter().filter_map(on_host).collect()
    }

    /// Whether a component belongs to it.
    pub fn covers(&self, component: &ComponentId) -> bool {
        match self {
            Self::All => true,
            Self::Host(host) => component.host_id() == Some(host),
            Self::Component(one) => one == component,
        }
    }

    /// The host that it lies on, if only one.
    pub fn host(&self) -> Option<&HostId> {
        match self {
            Self::All => None,
            Self::Host(host) => Some(host),
            Self::Component(component) => component.host_id(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<ComponentId> {
        [
            "service:db1/pg.service",
            "filesystem:db1/var",
            "disk:h2/sda",
            "interface:h2/sda",
        ]
        .map(|t| t.parse().unwrap())
        .to_vec()
    }

    #[test]
    fn ids_labels_and_hosts_are_understood() {
        let pg = About::Component("service:db1/pg.service".parse().unwrap());
        for text in ["service:db1/pg.service", "db1/pg.service", "db1/pg"] {
            assert_eq!(About::read(text, &known()).unwrap(), pg, "{text}");
        }
        assert_eq!(
            About::read("db1", &known()).unwrap(),
            About::Host(HostId::new("db1").unwrap())
        );
        assert_eq!(About::read("", &known()).unwrap(), About::All);
    }

    #[test]
    fn every_known_component_is_among_those_that_its_label_may_mean() {
        for id in known() {
            let label = id.label();
            assert!(About::possible(&label).contains(&id), "{label}");
        }
        let short = About::possible("db1/pg");
        assert!(short.contains(&"service:db1/pg.service".parse().unwrap()));
        for nobody in ["", "db1", "/var", "NOT A HOST/x", "db1/\u{7}"] {
            assert_eq!(About::possible(nobody), [], "{nobody:?}");
        }
    }

    #[test]
    fn what_names_nothing_or_several_is_refused() {
        assert_eq!(
            About::read("db1/x", &known()).unwrap_err().code(),
            tonic::Code::NotFound
        );
        let several = About::read("h2/sda", &known()).unwrap_err();
        assert_eq!(several.code(), tonic::Code::InvalidArgument);
    }
}
