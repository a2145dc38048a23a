//! The API's shape of `authorizerConfiguration`, as data.
//!
//! Mirrors the service's model member by member; nothing here knows what a member is for.

use serde_json::Value;

use super::Invalid;
use super::network::has_id_form;
use super::shape::{Field, Rule, Shape};

/// What stands under `authorizer` in a project file.
pub(super) const CONFIGURATION: Shape =
    Shape::Union(&[Field::required("customJWTAuthorizer", &JWT)]);

const JWT: Shape = Shape::Struct(JWT_MEMBERS);

const JWT_MEMBERS: &[Field] = &[
    Field::required(
        "discoveryUrl",
        &Shape::text(Rule {
            matches: is_discovery_url,
            wanted: "a URL that ends in `/.well-known/openid-configuration` or `/.well-known/oauth-authorization-server`",
        }),
    ),
    Field::optional("allowedAudience", &TEXTS),
    Field::optional("allowedClients", &TEXTS),
    Field::optional(
        "allowedScopes",
        &Shape::List {
            min: 1,
            max: usize::MAX,
            of: &SCOPE,
        },
    ),
    Field::optional(
        "advertisedScopeMapping",
        &Shape::Map {
            min: 1,
            max: 50,
            key: &SCOPE,
            value: &SCOPE,
        },
    ),
    Field::optional(
        "customClaims",
        &Shape::List {
            min: 1,
            max: usize::MAX,
            of: &CLAIM,
        },
    ),
    Field::optional("privateEndpoint", &PRIVATE_ENDPOINT),
    Field::optional(
        "privateEndpointOverrides",
        &Shape::List {
            min: 0,
            max: 5,
            of: &OVERRIDE,
        },
    ),
    Field::optional(
        "certificateConfigurations",
        &Shape::List {
            min: 1,
            max: 1,
            of: &CERTIFICATE,
        },
    ),
    Field::optional("allowedWorkloadConfiguration", &WORKLOADS),
];

/// Checks one member of `customJWTAuthorizer` on its own.
pub(super) fn check_jwt_member(name: &str, value: &Value) -> Result<(), Invalid> {
    JWT_MEMBERS
        .iter()
        .find(|it| it.name == name)
        .map_or(Ok(()), |it| it.shape.check(value, name))
}

const TEXTS: Shape = Shape::List {
    min: 1,
    max: usize::MAX,
    of: &Shape::ANY_TEXT,
};

const SCOPE: Shape = Shape::Text {
    min: 1,
    max: 255,
    rule: Some(Rule {
        matches: |text| {
            text.chars()
                .all(|c| c.is_ascii_graphic() && c != '"' && c != '\\')
        },
        wanted: "a scope: printable ASCII without spaces, quotes and backslashes",
    }),
};

const CLAIM: Shape = Shape::Struct(&[
    Field::required(
        "inboundTokenClaimName",
        &Shape::Text {
            min: 1,
            max: 255,
            rule: Some(Rule {
                // The API's class `[A-Za-z0-9_.-:]` holds the range from `.` to `:`, and so `/` but not `-`.
                matches: |text| {
                    text.chars()
                        .all(|c| c.is_ascii_alphanumeric() || "_./:".contains(c))
                },
                wanted: "the name of a claim: letters, digits, `_`, `.`, `/` and `:`",
            }),
        },
    ),
    Field::required(
        "inboundTokenClaimValueType",
        &Shape::Choice(&["STRING", "STRING_ARRAY"]),
    ),
    Field::required(
        "authorizingClaimMatchValue",
        &Shape::Struct(&[
            Field::required(
                "claimMatchValue",
                &Shape::Union(&[
                    Field::optional("matchValueString", &MATCH_VALUE),
                    Field::optional(
                        "matchValueStringList",
                        &Shape::List {
                            min: 1,
                            max: usize::MAX,
                            of: &MATCH_VALUE,
                        },
                    ),
                ]),
            ),
            Field::required(
                "claimMatchOperator",
                &Shape::Choice(&["EQUALS", "CONTAINS", "CONTAINS_ANY"]),
            ),
        ]),
    ),
]);

const MATCH_VALUE: Shape = Shape::Text {
    min: 1,
    max: 255,
    rule: Some(Rule {
        matches: is_word,
        wanted: "made of letters, digits, `_`, `.` and `-`",
    }),
};

const PRIVATE_ENDPOINT: Shape = Shape::Union(&[
    Field::optional(
        "selfManagedLatticeResource",
        &Shape::Union(&[Field::optional(
            "resourceConfigurationIdentifier",
            &Shape::Text {
                min: 20,
                max: 2048,
                rule: Some(Rule {
                    matches: is_resource_configuration,
                    wanted: "a resource configuration of VPC Lattice: `rcfg-…` or its ARN",
                }),
            },
        )]),
    ),
    Field::optional("managedVpcResource", &MANAGED_VPC),
]);

const MANAGED_VPC: Shape = Shape::Struct(&[
    Field::required(
        "vpcIdentifier",
        &Shape::text(Rule {
            matches: |text| is_short_or_long_id(text, "vpc-"),
            wanted: "the identifier of a VPC",
        }),
    ),
    Field::required(
        "subnetIds",
        &Shape::List {
            min: 0,
            max: usize::MAX,
            of: &Shape::text(Rule {
                matches: |text| has_id_form(text, "subnet-"),
                wanted: "the identifier of a subnet",
            }),
        },
    ),
    Field::required("endpointIpAddressType", &Shape::Choice(&["IPV4", "IPV6"])),
    Field::optional(
        "securityGroupIds",
        &Shape::List {
            min: 0,
            max: 5,
            of: &Shape::text(Rule {
                matches: |text| is_short_or_long_id(text, "sg-"),
                wanted: "the identifier of a security group",
            }),
        },
    ),
    Field::optional(
        "tags",
        &Shape::Map {
            min: 0,
            max: 50,
            key: &Shape::Text {
                min: 1,
                max: 128,
                rule: Some(TAG),
            },
            value: &Shape::Text {
                min: 0,
                max: 256,
                rule: Some(TAG),
            },
        },
    ),
    Field::optional(
        "routingDomain",
        &Shape::Text {
            min: 3,
            max: 255,
            rule: None,
        },
    ),
]);

const TAG: Rule = Rule {
    matches: |text| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || "._:/=+@-".contains(c))
    },
    wanted: "made of letters, digits, spaces and `._:/=+@-`",
};

const OVERRIDE: Shape = Shape::Struct(&[
    Field::required(
        "domain",
        &Shape::Text {
            min: 1,
            max: 253,
            rule: None,
        },
    ),
    Field::required("privateEndpoint", &PRIVATE_ENDPOINT),
]);

const CERTIFICATE: Shape = Shape::Union(&[
    Field::optional(
        "s3",
        &Shape::Struct(&[
            Field::required(
                "uri",
                &Shape::Text {
                    min: 6,
                    max: 2048,
                    rule: Some(Rule {
                        matches: |text| text.starts_with("s3://"),
                        wanted: "an `s3://` URI",
                    }),
                },
            ),
            Field::optional(
                "bucketOwnerAccountId",
                &Shape::text(Rule {
                    matches: is_account,
                    wanted: "an AWS account number of 12 digits",
                }),
            ),
        ]),
    ),
    Field::optional(
        "secretsManager",
        &Shape::Struct(&[Field::required(
            "secretArn",
            &Shape::text(Rule {
                matches: is_secret_arn,
                wanted: "the ARN of a secret in Secrets Manager",
            }),
        )]),
    ),
]);

const WORKLOADS: Shape = Shape::Struct(&[
    Field::optional(
        "hostingEnvironments",
        &Shape::List {
            min: 1,
            max: 10,
            of: &Shape::Struct(&[Field::required(
                "arn",
                &Shape::Text {
                    min: 20,
                    max: 1011,
                    rule: None,
                },
            )]),
        },
    ),
    Field::optional(
        "workloadIdentities",
        &Shape::List {
            min: 1,
            max: 10,
            of: &Shape::Text {
                min: 3,
                max: 255,
                rule: Some(Rule {
                    matches: is_word,
                    wanted: "made of letters, digits, `_`, `.` and `-`",
                }),
            },
        },
    ),
]);

/// `[^\s?#]+/\.well-known/(openid-configuration|oauth-authorization-server)(/[^\s?#]+)?`
fn is_discovery_url(text: &str) -> bool {
    let is_document = |rest: &str| {
        ["openid-configuration", "oauth-authorization-server"]
            .iter()
            .any(|document| {
                rest.strip_prefix(document).is_some_and(|tail| {
                    tail.is_empty() || (tail.starts_with('/') && tail.len() > 1)
                })
            })
    };
    let marker = "/.well-known/";
    !text.contains(|c: char| c.is_whitespace() || c == '?' || c == '#')
        && text
            .match_indices(marker)
            .any(|(at, _)| at > 0 && is_document(&text[at + marker.len()..]))
}

fn is_word(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// `prefix` and 8 or 17 lower-case letters or digits.
fn is_short_or_long_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|id| {
        [8, 17].contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    })
}

fn is_resource_configuration(text: &str) -> bool {
    let is_id = |it: &str| is_short_or_long_id(it, "rcfg-") && it.len() == "rcfg-".len() + 17;
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, "vpc-lattice", region, account, resource] => {
            !partition.is_empty()
                && !region.is_empty()
                && is_account(account)
                && resource
                    .strip_prefix("resourceconfiguration/")
                    .is_some_and(is_id)
        }
        _ => is_id(text),
    }
}

/// `arn:aws(-[^:]+)?:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+`
fn is_secret_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(7, ':').collect();
    let [
        "arn",
        partition,
        "secretsmanager",
        region,
        account,
        "secret",
        name,
    ] = parts.as_slice()
    else {
        return false;
    };
    (*partition == "aws" || partition.starts_with("aws-"))
        && !region.is_empty()
        && is_account(account)
        && !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discovery_urls_follow_the_apis_pattern() {
        for right in [
            "https://idp.example/.well-known/openid-configuration",
            "http://127.0.0.1:9/.well-known/openid-configuration",
            "https://a/b/.well-known/oauth-authorization-server/tenant",
        ] {
            assert!(is_discovery_url(right), "{right}");
        }
        for wrong in [
            "",
            "https://a/openid-configuration",
            "/.well-known/openid-configuration",
            "https://a/.well-known/openid-configuration?x",
            "https://a/.well-known/openid-configuration/",
            "https://a b/.well-known/openid-configuration",
            "https://a/.well-known/openid-configurations",
        ] {
            assert!(!is_discovery_url(wrong), "{wrong}");
        }
    }
}
