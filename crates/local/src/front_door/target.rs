//! What a path below `/runtimes/` names: a runtime, by its ARN or its id, and an operation on it.
//!
//! Reading and checking; nothing is done here.

use agentcore_protocol::error::ServiceError;
use percent_encoding::percent_decode_str;

/// What a path below `/runtimes/` names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The ARN as the caller wrote it, decoded; or a bare id.
    runtime: String,
    pub(crate) operation: Operation,
    has_account: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Invoke,
    /// Open a WebSocket.
    Connect,
    StopSession,
}

impl Target {
    /// Reads the path of a request. An ARN whose `/` is not percent-encoded is understood as well.
    pub(crate) fn read(path: &str, query: Option<&str>) -> Result<Self, ServiceError> {
        let unknown = || ServiceError {
            status: 404,
            error_type: "UnknownOperationException",
            message: "there is no such operation".to_owned(),
        };
        let rest = path.strip_prefix("/runtimes/").ok_or_else(unknown)?;
        let (runtime, operation) = rest.rsplit_once('/').ok_or_else(unknown)?;
        let operation = match operation {
            "invocations" => Operation::Invoke,
            "ws" => Operation::Connect,
            "stopruntimesession" => Operation::StopSession,
            _ => return Err(unknown()),
        };
        let runtime = percent_decode_str(runtime)
            .decode_utf8()
            .map_err(|_| ServiceError::validation("the ARN is not UTF-8"))?;
        let parameters = query.into_iter().flat_map(|query| query.split('&'));
        let mut accounts = parameters.filter_map(|it| it.strip_prefix("accountId="));
        Ok(Self {
            runtime: runtime.into_owned(),
            operation,
            has_account: accounts.any(is_account),
        })
    }

    /// Makes sure that the runtime meant is this one: any region and account, but this agent's id.
    pub(crate) fn check(&self, agent: &str) -> Result<(), ServiceError> {
        let runtime = self.runtime.as_str();
        let id = match runtime.strip_prefix("arn:") {
            Some(rest) => runtime_id(rest).ok_or_else(|| {
                ServiceError::validation(format!(
                    "`{runtime}` is not the ARN of a runtime, `arn:aws:bedrock-agentcore:<region>:<account>:runtime/<id>`"
                ))
            })?,
            None if self.has_account => runtime,
            None => {
                return Err(ServiceError::validation(
                    "a runtime id without its ARN needs `accountId`, twelve digits, in the query",
                ));
            }
        };
        // The service appends `-` and ten characters to the name.
        let ours = id.strip_prefix(agent);
        if ours.is_some_and(|suffix| suffix.is_empty() || suffix.starts_with('-')) {
            return Ok(());
        }
        Err(ServiceError::resource_not_found(format!(
            "No endpoint or agent found for agent '{runtime}': here runs `{agent}`"
        )))
    }
}

/// Returns the id in the part of an ARN after `arn:`.
fn runtime_id(rest: &str) -> Option<&str> {
    let mut parts = rest.splitn(5, ':');
    let (partition, service) = (parts.next()?, parts.next()?);
    let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
    let id = resource.strip_prefix("runtime/")?;
    // A version or an endpoint may follow.
    let id = id.split(['/', ':']).next()?;
    let complete = partition.starts_with("aws") && !region.is_empty() && !id.is_empty();
    (complete && service == "bedrock-agentcore" && is_account(account)).then_some(id)
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|it| it.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str =
        "arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime/my_agent-a1B2c3D4e5";

    fn encoded(arn: &str) -> String {
        arn.replace(':', "%3A").replace('/', "%2F")
    }

    fn status_of(path: &str, query: Option<&str>) -> u16 {
        let checked = Target::read(path, query).and_then(|target| target.check("my_agent"));
        checked.map_or_else(|error| error.status, |()| 200)
    }

    #[test]
    fn arns_are_understood_encoded_or_not() {
        for arn in [ARN.to_owned(), encoded(ARN), encoded(ARN).to_lowercase()] {
            let target = Target::read(&format!("/runtimes/{arn}/invocations"), None).unwrap();
            assert!(target.runtime.eq_ignore_ascii_case(ARN));
            assert_eq!(target.operation, Operation::Invoke);
        }
        let stop = format!("/runtimes/{}/stopruntimesession", encoded(ARN));
        let stop = Target::read(&stop, Some("qualifier=DEFAULT")).unwrap();
        assert_eq!(stop.operation, Operation::StopSession);
        let connect = Target::read(&format!("/runtimes/{ARN}/ws"), None).unwrap();
        assert_eq!(connect.operation, Operation::Connect);
    }

    #[test]
    fn only_this_agent_is_found_in_any_region_and_account() {
        let invoke =
            |arn: &str| status_of(&format!("/runtimes/{}/invocations", encoded(arn)), None);
        assert_eq!(invoke(ARN), 200);
        let prefix = "arn:aws-cn:bedrock-agentcore:cn-north-1:000000000000:runtime";
        assert_eq!(invoke(&format!("{prefix}/my_agent")), 200);
        assert_eq!(invoke(&format!("{prefix}/my_agent2-a1B2c3D4e5")), 404);
        assert_eq!(invoke(&format!("{prefix}/other-a1B2c3D4e5")), 404);
        assert_eq!(invoke(&format!("{prefix}/")), 400);
        assert_eq!(invoke("arn:aws:s3:::bucket"), 400);
        assert_eq!(
            invoke("arn:aws:bedrock-agentcore:us-west-2:12:runtime/my_agent"),
            400
        );
    }

    #[test]
    fn a_bare_id_needs_an_account() {
        let path = "/runtimes/my_agent-a1B2c3D4e5/invocations";
        assert_eq!(status_of(path, Some("accountId=123456789012")), 200);
        assert_eq!(status_of(path, Some("accountId=12")), 400);
        assert_eq!(status_of(path, None), 400);
    }

    #[test]
    fn other_operations_are_unknown() {
        assert_eq!(status_of("/runtimes/x/commands", None), 404);
        assert_eq!(status_of("/runtimes/x/ws/shells", None), 404);
        assert_eq!(status_of("/runtimes/x", None), 404);
    }
}
