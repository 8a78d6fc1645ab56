//! What a responder names: a component, a host, or a part of a name.

use firstlook_model::{ComponentId, HostId};
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
        let mut matches = known.iter().filter(fits);
        match (matches.next(), matches.next()) {
            (Some(one), None) => Ok(Self::Component(one.clone())),
            (None, _) => Err(Status::not_found(format!(
                "no component is named {text:?}: `firstlook map --all` lists them"
            ))),
            (Some(one), Some(other)) => Err(Status::invalid_argument(format!(
                "{text:?} may mean {one} or {other}: say which"
            ))),
        }
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
    fn what_names_nothing_or_several_is_refused() {
        assert_eq!(
            About::read("db1/x", &known()).unwrap_err().code(),
            tonic::Code::NotFound
        );
        let several = About::read("h2/sda", &known()).unwrap_err();
        assert_eq!(several.code(), tonic::Code::InvalidArgument);
    }
}
