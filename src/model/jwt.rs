//! A JWT authorizer that is put together member by member; the members that nobody touches stay as they were.
//!
//! Every member is checked by the API's own shape, and the whole by [`Authorizer::from_json`]. What only the whole shows
//! is that it lets somebody in by a rule: without one, any token of the provider would do.

use serde_json::{Map, Value, json};

use super::Invalid;
use super::authorizer::Authorizer;
use super::authorizer_shape::check_jwt_member;

const ROOT: &str = "customJWTAuthorizer";
const CLAIMS: &str = "customClaims";

/// A member that is asked for on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Member {
    /// Where the identity provider describes itself.
    DiscoveryUrl,
    /// Whom a token must be meant for.
    Audience,
    /// Who must have asked for it.
    Clients,
    /// What it must permit.
    Scopes,
}

/// How a claim of a token must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    /// The claim is this text.
    Equals,
    /// The claim is a list with this text in it.
    Contains,
    /// The claim is a list with one of these texts in it.
    ContainsAny,
}

/// The authorizer as far as it has come.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JwtDraft {
    members: Map<String, Value>,
}

impl Member {
    fn name(self) -> &'static str {
        match self {
            Self::DiscoveryUrl => "discoveryUrl",
            Self::Audience => "allowedAudience",
            Self::Clients => "allowedClients",
            Self::Scopes => "allowedScopes",
        }
    }
}

impl JwtDraft {
    /// Begins with what is there already.
    pub(crate) fn new(before: Option<&Authorizer>) -> Self {
        let members = match before {
            Some(Authorizer::Jwt(value)) => value[ROOT].as_object().cloned(),
            Some(Authorizer::Iam) | None => None,
        };
        Self {
            members: members.unwrap_or_default(),
        }
    }

    /// The member as one text; lists are joined by commas.
    pub(crate) fn text(&self, member: Member) -> Option<String> {
        match self.members.get(member.name())? {
            Value::String(text) => Some(text.clone()),
            Value::Array(items) => {
                let texts: Vec<_> = items.iter().filter_map(Value::as_str).collect();
                Some(texts.join(", "))
            }
            _ => None,
        }
    }

    /// Takes `text` for the member; the lists are separated by commas.
    ///
    /// # Errors
    ///
    /// Fails if the API would not take it.
    pub(crate) fn set(&mut self, member: Member, text: &str) -> Result<(), Invalid> {
        let value = match member {
            Member::DiscoveryUrl => json!(text),
            Member::Audience | Member::Clients | Member::Scopes => json!(split(text)),
        };
        check_jwt_member(member.name(), &value)?;
        self.members.insert(member.name().to_owned(), value);
        Ok(())
    }

    /// Leaves the member out.
    pub(crate) fn remove(&mut self, member: Member) {
        self.members.shift_remove(member.name());
    }

    /// The names of the claims that must match.
    pub(crate) fn claims(&self) -> Vec<&str> {
        let claims = self.members.get(CLAIMS).and_then(Value::as_array);
        claims
            .into_iter()
            .flatten()
            .filter_map(|it| it["inboundTokenClaimName"].as_str())
            .collect()
    }

    /// Lets any claims match.
    pub(crate) fn remove_claims(&mut self) {
        self.members.shift_remove(CLAIMS);
    }

    /// Checks the name of a claim before more is asked about it.
    ///
    /// # Errors
    ///
    /// Fails if the API would not take it.
    pub(crate) fn check_claim_name(name: &str) -> Result<(), Invalid> {
        check_jwt_member(CLAIMS, &json!([claim(name, Match::Equals, "x")]))
    }

    /// Adds a claim that must match `text`: one value, or for [`Match::ContainsAny`] several with commas between.
    ///
    /// # Errors
    ///
    /// Fails if the API would not take it.
    pub(crate) fn add_claim(&mut self, name: &str, how: Match, text: &str) -> Result<(), Invalid> {
        let before = self.members.get(CLAIMS).and_then(Value::as_array).cloned();
        let mut claims = before.unwrap_or_default();
        claims.push(claim(name, how, text));
        let claims = Value::Array(claims);
        check_jwt_member(CLAIMS, &claims)?;
        self.members.insert(CLAIMS.to_owned(), claims);
        Ok(())
    }

    /// The whole.
    ///
    /// # Errors
    ///
    /// Fails if something is missing.
    pub(crate) fn finish(&self) -> Result<Authorizer, Invalid> {
        let rules = [Member::Audience, Member::Clients, Member::Scopes].map(Member::name);
        let has_rule = rules
            .iter()
            .chain(&[CLAIMS])
            .any(|it| self.members.contains_key(*it));
        if !has_rule {
            return Err(Invalid::new(
                "no audience, client, scope or claim is named, so any token of the identity provider would do",
            )
            .hint("name at least one of them"));
        }
        Authorizer::from_json(json!({ ROOT: self.members }))
    }
}

fn claim(name: &str, how: Match, text: &str) -> Value {
    let (kind, operator, value) = match how {
        Match::Equals => ("STRING", "EQUALS", json!({ "matchValueString": text })),
        Match::Contains => (
            "STRING_ARRAY",
            "CONTAINS",
            json!({ "matchValueString": text }),
        ),
        Match::ContainsAny => (
            "STRING_ARRAY",
            "CONTAINS_ANY",
            json!({ "matchValueStringList": split(text) }),
        ),
    };
    json!({
        "inboundTokenClaimName": name,
        "inboundTokenClaimValueType": kind,
        "authorizingClaimMatchValue": { "claimMatchValue": value, "claimMatchOperator": operator },
    })
}

/// The items of a list with commas between them, blanks or not.
fn split(text: &str) -> Vec<&str> {
    text.split(',')
        .map(str::trim)
        .filter(|it| !it.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://idp.example/.well-known/openid-configuration";

    #[test]
    fn members_are_put_together_and_the_others_stay() {
        let before = Authorizer::from_json(json!({ ROOT: {
            "discoveryUrl": URL,
            "allowedClients": ["c"],
            "advertisedScopeMapping": { "read": "read:all" },
        } }))
        .unwrap();
        let mut draft = JwtDraft::new(Some(&before));
        assert_eq!(draft.finish().as_ref(), Ok(&before));
        assert_eq!(draft.text(Member::Clients).as_deref(), Some("c"));
        draft.remove(Member::Clients);
        draft.set(Member::Audience, "a,b,  c ,").unwrap();
        assert_eq!(draft.text(Member::Audience).as_deref(), Some("a, b, c"));
        draft
            .add_claim("groups", Match::ContainsAny, "x, y")
            .unwrap();
        draft.add_claim("tier", Match::Equals, "gold").unwrap();
        draft.add_claim("roles", Match::Contains, "admin").unwrap();
        assert_eq!(draft.claims(), ["groups", "tier", "roles"]);
        let Authorizer::Jwt(after) = draft.finish().unwrap() else {
            panic!("it is a JWT authorizer");
        };
        let claim = |name: &str, kind: &str, value: Value, operator: &str| {
            json!({
                "inboundTokenClaimName": name,
                "inboundTokenClaimValueType": kind,
                "authorizingClaimMatchValue": { "claimMatchValue": value, "claimMatchOperator": operator },
            })
        };
        assert_eq!(
            after,
            json!({ ROOT: {
                "discoveryUrl": URL,
                "advertisedScopeMapping": { "read": "read:all" },
                "allowedAudience": ["a", "b", "c"],
                "customClaims": [
                    claim("groups", "STRING_ARRAY", json!({ "matchValueStringList": ["x", "y"] }), "CONTAINS_ANY"),
                    claim("tier", "STRING", json!({ "matchValueString": "gold" }), "EQUALS"),
                    claim("roles", "STRING_ARRAY", json!({ "matchValueString": "admin" }), "CONTAINS"),
                ],
            } })
        );
    }

    #[test]
    fn what_the_api_would_not_take_is_refused_at_once() {
        let mut draft = JwtDraft::new(None);
        let said = |outcome: Result<(), Invalid>| outcome.unwrap_err().in_lines();
        assert!(
            said(draft.set(Member::DiscoveryUrl, "https://idp"))
                .starts_with("`discoveryUrl` must be a URL that ends in")
        );
        assert_eq!(
            said(draft.set(Member::Scopes, "ok, a b")),
            "`allowedScopes[1]` must be a scope: printable ASCII without spaces, quotes and backslashes"
        );
        assert_eq!(
            said(draft.set(Member::Audience, " , ")),
            "`allowedAudience` has 0 items and must have at least 1"
        );
        assert!(JwtDraft::check_claim_name("cognito:groups").is_ok());
        assert!(JwtDraft::check_claim_name("a b").is_err());
        assert!(draft.add_claim("tier", Match::Equals, "a b").is_err());
        assert_eq!(draft, JwtDraft::new(None), "nothing wrong is kept");
        draft.set(Member::DiscoveryUrl, URL).unwrap();
        assert_eq!(
            draft.finish().unwrap_err().in_lines(),
            "no audience, client, scope or claim is named, so any token of the identity provider would do\nname at least one of them"
        );
        draft.set(Member::Clients, "c").unwrap();
        assert!(draft.finish().is_ok());
        draft.remove(Member::DiscoveryUrl);
        assert!(draft.finish().is_err());
    }
}
