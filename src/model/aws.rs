//! Names and identifiers of AWS resources, by the service's own rules.

use std::str::FromStr;

use super::Invalid;

/// An AWS region, such as `us-west-2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Region(String);

text_value!(Region);

impl FromStr for Region {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parts: Vec<&str> = text.split('-').collect();
        let right = match parts.split_last() {
            Some((number, words)) => {
                words.len() >= 2 && is_digits(number) && words.iter().all(|it| is_lower(it))
            }
            None => false,
        };
        if right {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::new(format!("`{text}` is not an AWS region"))
            .hint("write it as in `us-west-2`"))
    }
}

/// The number of an AWS account: 12 digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccountId(String);

text_value!(AccountId);

impl FromStr for AccountId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if is_account(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(
            Invalid::new(format!("`{text}` is not an AWS account number"))
                .hint("write its 12 digits, in quotes"),
        )
    }
}

/// An IAM role: its ARN, or its name in the account that is deployed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Role(String);

text_value!(Role);

impl FromStr for Role {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if is_iam_arn(text, "role") || is_role_name(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::new(format!(
            "`{text}` is neither the ARN nor the name of an IAM role"
        ))
        .hint("write it as in `arn:aws:iam::123456789012:role/my-role`, or `my-role`"))
    }
}

/// The ARN of an IAM policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PolicyArn(String);

text_value!(PolicyArn);

impl FromStr for PolicyArn {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // The account of a policy that AWS itself keeps is `aws`.
        if is_iam_arn(text, "policy")
            || is_iam_arn(&text.replacen("::aws:", "::000000000000:", 1), "policy")
        {
            return Ok(Self(text.to_owned()));
        }
        Err(
            Invalid::new(format!("`{text}` is not the ARN of an IAM policy"))
                .hint("write it as in `arn:aws:iam::123456789012:policy/my-boundary`"),
        )
    }
}

/// An ECR repository: its name, its URI without a tag, or `auto`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EcrRepository(String);

text_value!(EcrRepository);

impl FromStr for EcrRepository {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let name = match text.split_once(".amazonaws.com") {
            Some((host, rest)) if is_registry(host) => rest
                .strip_prefix(".cn")
                .unwrap_or(rest)
                .strip_prefix('/')
                .unwrap_or_default(),
            _ => text,
        };
        if is_repository_name(name) {
            return Ok(Self(text.to_owned()));
        }
        let error = Invalid::new(format!(
            "`{text}` is neither the name nor the URI of an ECR repository"
        ));
        let example = "write it as in `my-agents` or `123456789012.dkr.ecr.us-west-2.amazonaws.com/my-agents`";
        Err(match name.split_once([':', '@']) {
            Some((untagged, _)) if is_repository_name(untagged) => {
                error.hint("leave out the tag or digest")
            }
            _ => error.hint(example),
        })
    }
}

/// A Python version as an image names it, such as `3.12`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PythonVersion(String);

text_value!(PythonVersion);

impl FromStr for PythonVersion {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text
            .strip_prefix("3.")
            .is_some_and(|minor| is_digits(minor) && minor.len() <= 2)
        {
            return Ok(Self(text.to_owned()));
        }
        Err(
            Invalid::new(format!("`{text}` is not a version of Python 3"))
                .hint("write it as in `\"3.12\"`"),
        )
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_lower(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase())
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && is_digits(text)
}

/// `arn:aws(-[^:]+)?:iam::([0-9]{12})?:<resource>/.+`, at most 2048 characters.
fn is_iam_arn(text: &str, resource: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, rest] = parts.as_slice() else {
        return false;
    };
    let partition_is_right = *partition == "aws"
        || partition
            .strip_prefix("aws-")
            .is_some_and(|it| !it.is_empty());
    let name = rest
        .strip_prefix(resource)
        .and_then(|it| it.strip_prefix('/'));
    partition_is_right
        && (account.is_empty() || is_account(account))
        && name.is_some_and(|it| !it.is_empty() && !it.contains(char::is_whitespace))
        && text.len() <= 2048
}

fn is_role_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c))
}

/// `<account>.dkr.ecr.<region>`.
fn is_registry(host: &str) -> bool {
    let Some((account, region)) = host.split_once(".dkr.ecr.") else {
        return false;
    };
    is_account(account) && region.parse::<Region>().is_ok()
}

/// `(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*`, 2 to 256 characters.
fn is_repository_name(text: &str) -> bool {
    let is_word = |it: &str| {
        !it.is_empty()
            && it
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    (2..=256).contains(&text.len())
        && text
            .split('/')
            .all(|part| part.split(['.', '_', '-']).all(is_word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr>(right: &[&str], wrong: &[&str]) {
        for text in right {
            assert!(text.parse::<T>().is_ok(), "{text}");
        }
        for text in wrong {
            assert!(text.parse::<T>().is_err(), "{text}");
        }
    }

    #[test]
    fn regions() {
        check::<Region>(
            &[
                "us-west-2",
                "us-gov-east-1",
                "eu-isoe-west-1",
                "ap-southeast-7",
                "cn-north-1",
            ],
            &[
                "",
                "us-west",
                "us_west_2",
                "US-WEST-2",
                "west-2",
                "us-west-2a",
                "us--2",
            ],
        );
    }

    #[test]
    fn roles_are_arns_or_names() {
        check::<Role>(
            &[
                "arn:aws:iam::123456789012:role/a",
                "arn:aws-cn:iam::123456789012:role/p/a",
                "my-role",
                "a+b=c,d.e@f_g",
            ],
            &[
                "",
                "arn:aws:iam::12345:role/a",
                "arn:aws:iam::123456789012:user/a",
                "arn:aws:iam::123456789012:role/",
                "a b",
                "a/b",
            ],
        );
        check::<PolicyArn>(
            &[
                "arn:aws:iam::123456789012:policy/b",
                "arn:aws:iam::aws:policy/PowerUserAccess",
            ],
            &["", "b", "arn:aws:iam::123456789012:role/b"],
        );
    }

    #[test]
    fn repositories_are_names_or_uris_without_a_tag() {
        check::<EcrRepository>(
            &[
                "auto",
                "my-agents",
                "team/a_b.c",
                "123456789012.dkr.ecr.us-west-2.amazonaws.com/x1",
                "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/x1",
            ],
            &[
                "",
                "x",
                "My-Agents",
                "a/",
                "a//b",
                "a--b",
                "123456789012.dkr.ecr.us-west-2.amazonaws.com/",
                "docker.io/library/python:3",
            ],
        );
        let error = "123456789012.dkr.ecr.us-west-2.amazonaws.com/x1:v1"
            .parse::<EcrRepository>()
            .unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("leave out the tag or digest"));
    }

    #[test]
    fn accounts_and_python_versions() {
        check::<AccountId>(
            &["123456789012", "000000000001"],
            &["", "12345678901", "1234567890123", "12345678901x"],
        );
        check::<PythonVersion>(&["3.9", "3.12"], &["", "3", "2.7", "3.12.1", "3.", "3.x"]);
    }
}
