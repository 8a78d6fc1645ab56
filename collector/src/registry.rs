//! The registry of enrolment, over the desk.

use firstlook_desk::{
    AuditEntry, AuditOutcome, Certificate, Desk, DeskError, TokenHash, TokenRefusal,
};
use firstlook_enrol::{Issued, Redeemed, Refused, Registry};
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

impl Registry for DeskRegistry {
    /// A token that is bound to a name settles it, and may take it over: whoever made it was asked for
    /// `--replace`. Any other gets the name wished for, unless that is taken.
    fn redeem(
        &self,
        secret_hash: [u8; 32],
        wished: &HostId,
        now: Timestamp,
    ) -> Result<Redeemed, Refused> {
        let hash = TokenHash::of(&secret_hash);
        let tokens = self.0.tokens();
        let known = tokens.list().map_err(|e| Self::unavailable(&e))?;
        let token = known.into_iter().find(|token| token.hash == hash);
        let bound = token.and_then(|token| token.bound_to);
        let host = bound.clone().unwrap_or_else(|| wished.clone());
        let enrolled = self
            .0
            .hosts()
            .get(&host)
            .map_err(|e| Self::unavailable(&e))?;
        let taken = enrolled.is_some_and(|row| row.revoked.is_none());
        if bound.is_none() && taken {
            self.note(
                &host,
                "join",
                AuditOutcome::Refused,
                "name is taken".to_owned(),
                now,
            );
            return Err(Refused::NameTaken(host));
        }
        match tokens.redeem(hash, &host, now) {
            Ok(_) => {
                let none = Certificate {
                    serial: "none".to_owned(),
                    fingerprint: "none".to_owned(),
                    expires: now,
                };
                self.0
                    .hosts()
                    .enrol(&host, &none, now)
                    .map_err(|e| Self::unavailable(&e))?;
                self.note(&host, "join", AuditOutcome::Done, String::new(), now);
                Ok(Redeemed { host })
            }
            Err(DeskError::Token(refusal)) => {
                self.note(
                    &host,
                    "join",
                    AuditOutcome::Refused,
                    refusal.to_string(),
                    now,
                );
                Err(Refused::Token(word(&refusal)))
            }
            Err(error) => Err(Self::unavailable(&error)),
        }
    }

    fn issued(&self, host: &HostId, issued: &Issued, now: Timestamp) -> Result<(), Refused> {
        let row = self
            .0
            .hosts()
            .get(host)
            .map_err(|e| Self::unavailable(&e))?;
        if row.is_none_or(|row| row.revoked.is_some()) {
            return Err(Refused::Host(host.clone()));
        }
        let certificate = Certificate {
            serial: issued.serial.clone(),
            fingerprint: issued.fingerprint.clone(),
            expires: issued.expires,
        };
        self.0
            .hosts()
            .renew(host, &certificate, now)
            .map_err(|e| Self::unavailable(&e))
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

    #[test]
    fn a_token_lets_one_host_in_once() {
        let (_dir, desk) = desk();
        token(&desk, [1; 32], None);
        let registry = DeskRegistry(desk);
        let host = HostId::new("db1").unwrap();
        assert_eq!(registry.redeem([1; 32], &host, NOW), Ok(Redeemed { host }));
        let other = HostId::new("db2").unwrap();
        let refused = registry.redeem([1; 32], &other, NOW);
        assert_eq!(refused, Err(Refused::Token("it was used already")));
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
        registry.redeem([1; 32], &host, NOW).unwrap();
        assert_eq!(
            registry.redeem([2; 32], &host, NOW),
            Err(Refused::NameTaken(host.clone()))
        );
        let other = HostId::new("db2").unwrap();
        assert!(registry.redeem([2; 32], &other, NOW).is_ok());
        assert_eq!(registry.redeem([3; 32], &other, NOW), Ok(Redeemed { host }));
    }

    #[test]
    fn unknown_and_late_tokens_are_refused() {
        let (_dir, desk) = desk();
        token(&desk, [1; 32], None);
        let registry = DeskRegistry(desk);
        let host = HostId::new("db1").unwrap();
        assert_eq!(
            registry.redeem([9; 32], &host, NOW),
            Err(Refused::Token("it is unknown"))
        );
        let late = NOW.plus(Duration::from_secs(601));
        assert_eq!(
            registry.redeem([1; 32], &host, late),
            Err(Refused::Token("it has expired"))
        );
    }

    #[test]
    fn a_revoked_host_gets_no_new_certificate() {
        let (_dir, desk) = desk();
        token(&desk, [1; 32], None);
        let registry = DeskRegistry(desk.clone());
        let host = HostId::new("db1").unwrap();
        registry.redeem([1; 32], &host, NOW).unwrap();
        let issued = Issued {
            certificate_pem: String::new(),
            serial: "ab".into(),
            fingerprint: "cd".into(),
            expires: NOW,
        };
        registry.issued(&host, &issued, NOW).unwrap();
        desk.hosts().revoke(&host, NOW).unwrap();
        assert_eq!(
            registry.issued(&host, &issued, NOW),
            Err(Refused::Host(host))
        );
    }
}
