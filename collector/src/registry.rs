//! The registry of enrolment, over the desk.

use firstlook_desk::{
    AuditEntry, AuditOutcome, Certificate, Desk, DeskError, TokenHash, TokenRefusal,
};
use firstlook_enrol::{Issued, Refused, Registry};
use firstlook_model::{HostId, Timestamp};

/// Tokens and hosts at the desk.
pub struct DeskRegistry(pub Desk);

impl DeskRegistry {
    fn unavailable(error: &DeskError) -> Refused {
        Refused::Unavailable(error.to_string())
    }

    fn note(&self, host: &HostId, what: &str, result: AuditOutcome, detail: String, at: Timestamp) {
        let entry = AuditEntry {
            time: at,
            who: host.to_string(),
            what: what.to_owned(),
            result,
            detail,
        };
        if let Err(error) = self.0.audit().append(&entry) {
            tracing::error!(%error, what, "audit entry not written");
        }
    }
}

impl DeskRegistry {
    /// Why a join is refused; what a person should know is noted.
    fn refused(&self, host: &HostId, error: DeskError, now: Timestamp) -> Refused {
        let (refused, detail) = match error {
            DeskError::Token(refusal) => (Refused::Token(word(&refusal)), refusal.to_string()),
            DeskError::Exists { .. } => {
                (Refused::NameTaken(host.clone()), "name is taken".to_owned())
            }
            other => return Self::unavailable(&other),
        };
        self.note(host, "join", AuditOutcome::Refused, detail, now);
        refused
    }
}

impl Registry for DeskRegistry {
    /// A token that is bound to a name settles it, and may take it over: whoever made it was asked for
    /// `--replace`. Any other gets the name wished for, unless that is taken.
    fn name(
        &self,
        secret_hash: [u8; 32],
        wished: &HostId,
        now: Timestamp,
    ) -> Result<HostId, Refused> {
        let checked = self
            .0
            .tokens()
            .get(TokenHash::of(&secret_hash))
            .and_then(|token| {
                let host = token.bound_to.clone().unwrap_or_else(|| wished.clone());
                token.check(&host, now)?;
                Ok(host)
            });
        checked.map_err(|error| self.refused(wished, error, now))
    }

    fn redeem(
        &self,
        secret_hash: [u8; 32],
        host: &HostId,
        issued: &Issued,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let hash = TokenHash::of(&secret_hash);
        self.0
            .tokens()
            .redeem(hash, host, &certificate(issued), now)
            .map_err(|error| self.refused(host, error, now))?;
        self.note(host, "join", AuditOutcome::Done, String::new(), now);
        Ok(())
    }

    /// The last certificate only: an older one may be a copy that somebody else has.
    fn may_return(&self, host: &HostId, fingerprint: &str, now: Timestamp) -> Result<(), Refused> {
        let row = self
            .0
            .hosts()
            .get(host)
            .map_err(|e| Self::unavailable(&e))?;
        let refused = match row {
            Some(row) if row.revoked.is_some() => Refused::Host(host.clone()),
            None => Refused::Host(host.clone()),
            Some(row) if row.certificate.fingerprint != fingerprint => {
                Refused::Superseded(host.clone())
            }
            Some(_) => {
                self.note(host, "return", AuditOutcome::Done, String::new(), now);
                return Ok(());
            }
        };
        // Not in the audit: whoever holds a void certificate could fill it.
        tracing::warn!(%host, "the return of a host was refused");
        Err(refused)
    }

    fn renew(
        &self,
        host: &HostId,
        shown: &str,
        issued: &Issued,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let renewed = self.0.hosts().renew(host, shown, &certificate(issued), now);
        renewed.map_err(|error| match error {
            DeskError::NotFound { .. }
            | DeskError::Revoked { .. }
            | DeskError::Superseded { .. } => {
                // Not in the audit: whoever holds a void certificate could fill it.
                tracing::warn!(%host, %error, "renewal refused");
                Refused::Host(host.clone())
            }
            other => Self::unavailable(&other),
        })
    }
}

fn certificate(issued: &Issued) -> Certificate {
    Certificate {
        serial: issued.serial.clone(),
        fingerprint: issued.fingerprint.clone(),
        expires: issued.expires,
    }
}

fn word(refusal: &TokenRefusal) -> &'static str {
    match refusal {
        TokenRefusal::Unknown => "it is unknown",
        TokenRefusal::Used { .. } => "it was used already",
        TokenRefusal::Revoked(_) => "it was revoked",
        TokenRefusal::Expired(_) => "it has expired",
        TokenRefusal::Bound(_) => "it is for another host",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn desk() -> (tempfile::TempDir, Desk) {
        let dir = tempfile::tempdir().unwrap();
        let desk = Desk::open(dir.path().join("desk.sqlite")).unwrap();
        (dir, desk)
    }

    fn token(desk: &Desk, hash: [u8; 32], bound: Option<&HostId>) {
        let expires = NOW.plus(Duration::from_secs(600));
        desk.tokens()
            .create(TokenHash::of(&hash), "ana", NOW, expires, bound)
            .unwrap();
    }

    fn issued(serial: &str) -> Issued {
        Issued {
            certificate_pem: String::new(),
            serial: serial.to_owned(),
            fingerprint: format!("hash of {serial}"),
            expires: NOW,
        }
    }

    /// What enrolment does with a token.
    fn join(registry: &DeskRegistry, secret: u8, wished: &str) -> Result<HostId, Refused> {
        let host = registry.name([secret; 32], &HostId::new(wished).unwrap(), NOW)?;
        let serial = format!("{secret}");
        registry.redeem([secret; 32], &host, &issued(&serial), NOW)?;
        Ok(host)
    }

    #[test]
    fn a_token_lets_one_host_in_once() {
        let (_dir, desk) = desk();
        token(&desk, [1; 32], None);
        let registry = DeskRegistry(desk.clone());
        let host = HostId::new("db1").unwrap();
        assert_eq!(registry.name([1; 32], &host, NOW), Ok(host.clone()));
        assert_eq!(desk.hosts().get(&host).unwrap(), None, "only asked");
        assert_eq!(join(&registry, 1, "db1"), Ok(host.clone()));
        let row = desk.hosts().get(&host).unwrap().unwrap();
        assert_eq!(row.certificate.serial, "1");
        let used = Err(Refused::Token("it was used already"));
        assert_eq!(join(&registry, 1, "db2"), used);
        let late = registry.redeem([1; 32], &host, &issued("2"), NOW);
        assert_eq!(late, Err(Refused::Token("it was used already")));
    }

    #[test]
    fn a_taken_name_costs_no_token_and_needs_a_bound_one() {
        let (_dir, desk) = desk();
        let host = HostId::new("db1").unwrap();
        for n in 1..=2 {
            token(&desk, [n; 32], None);
        }
        token(&desk, [3; 32], Some(&host));
        let registry = DeskRegistry(desk);
        join(&registry, 1, "db1").unwrap();
        let taken = Err(Refused::NameTaken(host.clone()));
        assert_eq!(join(&registry, 2, "db1"), taken);
        assert!(join(&registry, 2, "db2").is_ok());
        assert_eq!(join(&registry, 3, "db2"), Ok(host));
    }

    #[test]
    fn unknown_and_late_tokens_are_refused() {
        let (_dir, desk) = desk();
        token(&desk, [1; 32], None);
        let registry = DeskRegistry(desk.clone());
        let unknown = Err(Refused::Token("it is unknown"));
        assert_eq!(join(&registry, 9, "db1"), unknown);
        let late = NOW.plus(Duration::from_secs(601));
        let host = HostId::new("db1").unwrap();
        assert_eq!(
            registry.name([1; 32], &host, late),
            Err(Refused::Token("it has expired"))
        );
        let noted = desk.audit().list(9).unwrap();
        assert!(noted.iter().all(|e| e.result == AuditOutcome::Refused));
        assert_eq!(noted.len(), 2);
    }

    #[test]
    fn a_revoked_host_gets_no_new_certificate_until_a_token_lets_it_in_again() {
        let (_dir, desk) = desk();
        for n in 1..=2 {
            token(&desk, [n; 32], None);
        }
        let registry = DeskRegistry(desk.clone());
        let host = join(&registry, 1, "db1").unwrap();
        registry
            .renew(&host, "hash of 1", &issued("ab"), NOW)
            .unwrap();
        let entry = AuditEntry {
            time: NOW,
            who: "ana".to_owned(),
            what: "host revoke".to_owned(),
            result: AuditOutcome::Done,
            detail: String::new(),
        };
        let returns = |shown: &str| registry.may_return(&host, shown, NOW);
        let superseded = Err(Refused::Superseded(host.clone()));
        assert_eq!(
            (returns("hash of ab"), returns("hash of 1")),
            (Ok(()), superseded)
        );
        desk.hosts().revoke(&host, NOW, &entry).unwrap();
        assert_eq!(returns("hash of ab"), Err(Refused::Host(host.clone())));
        let refused = Err(Refused::Host(host.clone()));
        let renew = |shown: &str| registry.renew(&host, shown, &issued("cd"), NOW);
        assert_eq!(renew("hash of ab"), refused);
        assert_eq!(join(&registry, 2, "db1"), Ok(host.clone()));
        assert_eq!(renew("hash of ab"), refused, "of before it was revoked");
        assert_eq!(renew("hash of 2"), Ok(()));
    }
}
