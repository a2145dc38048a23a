//! Who may call a deployed agent: IAM, or tokens that a JWT authorizer accepts.
//!
//! The JSON is the API's own and is kept as it was written; it is checked against the API's shape, so that a mistake is
//! found here and not at the first deployment.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::Invalid;
use super::authorizer_shape::CONFIGURATION;

/// How callers prove who they are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Authorizer {
    /// Requests signed with AWS credentials; the default.
    Iam,
    /// The API's `authorizerConfiguration`, checked: `{"customJWTAuthorizer": {…}}`.
    Jwt(Value),
}

impl Authorizer {
    /// Checks the API's JSON.
    pub(crate) fn from_json(value: Value) -> Result<Self, Invalid> {
        if value.get("discoveryUrl").is_some() {
            return Err(
                Invalid::new("`discoveryUrl` stands outside of `customJWTAuthorizer`")
                    .hint("write it as `{\"customJWTAuthorizer\": {\"discoveryUrl\": …}}`"),
            );
        }
        if let Value::Object(entries) = &value {
            CONFIGURATION.check(&value, if entries.is_empty() { "authorizer" } else { "" })?;
            return Ok(Self::Jwt(value));
        }
        Err(
            Invalid::new("the authorizer is neither `iam` nor a JSON object")
                .hint("write it as `{\"customJWTAuthorizer\": {\"discoveryUrl\": …}}`"),
        )
    }

    /// What it is, in a few words.
    pub(crate) fn summary(&self) -> String {
        match self {
            Self::Iam => "IAM".to_owned(),
            Self::Jwt(value) => {
                let url = value["customJWTAuthorizer"]["discoveryUrl"]
                    .as_str()
                    .unwrap_or_default();
                format!("JWT, {url}")
            }
        }
    }
}

impl Serialize for Authorizer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Iam => serializer.serialize_str("iam"),
            Self::Jwt(value) => value.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Authorizer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value
            .as_str()
            .is_some_and(|it| it.eq_ignore_ascii_case("iam"))
        {
            return Ok(Self::Iam);
        }
        Self::from_json(value).map_err(|error| serde::de::Error::custom(error.in_lines()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const URL: &str = "https://idp.example/.well-known/openid-configuration";

    fn problem(jwt: impl Into<Value>) -> String {
        let jwt: Value = jwt.into();
        Authorizer::from_json(json!({ "customJWTAuthorizer": jwt }))
            .unwrap_err()
            .in_lines()
    }

    #[test]
    fn the_whole_shape_is_accepted() {
        let full = json!({ "customJWTAuthorizer": {
            "discoveryUrl": URL,
            "allowedAudience": ["a"],
            "allowedClients": ["c"],
            "allowedScopes": ["read:all"],
            "advertisedScopeMapping": { "read": "read:all" },
            "customClaims": [{
                "inboundTokenClaimName": "cognito:groups",
                "inboundTokenClaimValueType": "STRING_ARRAY",
                "authorizingClaimMatchValue": {
                    "claimMatchValue": { "matchValueStringList": ["admins"] },
                    "claimMatchOperator": "CONTAINS_ANY",
                },
            }],
            "privateEndpoint": { "selfManagedLatticeResource": {
                "resourceConfigurationIdentifier": "rcfg-0123456789abcdef0",
            } },
            "privateEndpointOverrides": [{ "domain": "idp.example", "privateEndpoint": { "managedVpcResource": {
                "vpcIdentifier": "vpc-01234567",
                "subnetIds": ["subnet-01234567"],
                "endpointIpAddressType": "IPV4",
                "securityGroupIds": ["sg-0123456789abcdef0"],
                "tags": { "team": "a b" },
                "routingDomain": "internal.example",
            } } }],
            "certificateConfigurations": [{ "secretsManager": {
                "secretArn": "arn:aws:secretsmanager:us-west-2:123456789012:secret:ca",
            } }],
            "allowedWorkloadConfiguration": { "workloadIdentities": ["caller"], "hostingEnvironments": [
                { "arn": "arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime/a-0123456789" },
            ] },
        } });
        assert_eq!(
            Authorizer::from_json(full.clone()).unwrap(),
            Authorizer::Jwt(full)
        );
    }

    #[test]
    fn a_difference_is_named_by_its_path() {
        assert_eq!(
            problem(json!({})),
            "`customJWTAuthorizer.discoveryUrl` is missing"
        );
        assert_eq!(
            problem(json!({ "discoveryURL": URL })),
            "`customJWTAuthorizer.discoveryURL` is not a key that the service knows\ndid you mean `discoveryUrl`?"
        );
        assert_eq!(
            problem(json!({ "discoveryUrl": URL, "allowedScopes": ["ok", "a b"] })),
            "`customJWTAuthorizer.allowedScopes[1]` must be a scope: printable ASCII without spaces, quotes and backslashes"
        );
        assert_eq!(
            problem(json!({ "discoveryUrl": URL, "allowedAudience": [] })),
            "`customJWTAuthorizer.allowedAudience` has 0 items and must have at least 1"
        );
        assert_eq!(
            problem(json!({ "discoveryUrl": URL, "allowedClients": "c" })),
            "`customJWTAuthorizer.allowedClients` must be a list, not a string"
        );
        assert_eq!(
            problem(json!({ "discoveryUrl": URL, "privateEndpoint": {} })),
            "`customJWTAuthorizer.privateEndpoint` must have exactly one of selfManagedLatticeResource, managedVpcResource"
        );
        assert_eq!(
            Authorizer::from_json(json!({ "foo": 1 }))
                .unwrap_err()
                .in_lines(),
            "`foo` is not a key that the service knows\nknown here: customJWTAuthorizer"
        );
        assert!(
            Authorizer::from_json(json!({ "discoveryUrl": URL }))
                .unwrap_err()
                .hint
                .is_some()
        );
        for wrong in [json!([]), json!("x"), json!(null), json!({})] {
            assert!(Authorizer::from_json(wrong).is_err());
        }
    }
}
