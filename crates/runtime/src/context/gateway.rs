//! What a gateway says about an invocation in its baggage: a configuration bundle, a routing experiment.
//!
//! Both are read when they are asked for, once. Bundles are not fetched here: that takes the AWS SDK and credentials, which
//! the server has no use for.

use agentcore_protocol::baggage::{Baggage, ConfigBundleRef, RoutingExperiment};

use super::Context;
use crate::log::LOGGER;

impl Context {
    /// Returns the pairs of the `baggage` headers (W3C Baggage).
    ///
    /// They are read at the first call. That also logs, once an invocation, what of them is malformed and which
    /// configuration bundle they name.
    pub fn baggage(&self) -> &Baggage {
        self.request.baggage.get_or_init(|| {
            let baggage = Baggage::from_headers(&self.request.headers);
            report(&baggage);
            baggage
        })
    }

    /// Returns the version of a configuration bundle that the request names, by ARN and version.
    ///
    /// Its content is to be fetched with `GetConfigurationBundleVersion` of the AWS SDK, for [`ConfigBundleRef::id`] and
    /// [`ConfigBundleRef::version`]; this crate does not call AWS.
    pub fn config_bundle(&self) -> Option<ConfigBundleRef> {
        // A malformed one was logged when the baggage was read.
        self.baggage().config_bundle().ok().flatten()
    }

    /// Returns the experiment of a gateway that the request takes part in, and the variant that it gets.
    pub fn routing_experiment(&self) -> Option<RoutingExperiment> {
        self.baggage().routing_experiment()
    }
}

fn report(baggage: &Baggage) {
    let malformed = baggage.malformed();
    if malformed > 0 {
        tracing::warn!(target: LOGGER, "Failed to parse baggage: {malformed} malformed entries were skipped");
    }
    for key in baggage.ambiguous() {
        tracing::warn!(target: LOGGER, "The baggage has several values of `{key}`, the first one counts");
    }
    match baggage.config_bundle() {
        Ok(Some(bundle)) => {
            tracing::info!(target: LOGGER, "Received config bundle ref: {}", bundle.id());
        }
        Ok(None) => {
            tracing::debug!(target: LOGGER, "No config bundle ref found in request baggage");
        }
        Err(error) => tracing::warn!(target: LOGGER, "Ignoring the config bundle ref: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::log::{Captured, invocation_span};

    const ARN: &str = "arn:aws:bedrock-agentcore:us-west-2:123456789012:configuration-bundle/b-1";

    fn context(lines: &[String]) -> Context {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("baggage", HeaderValue::from_str(line).unwrap());
        }
        Context::from_headers(headers)
    }

    #[test]
    fn a_bundle_is_named_in_the_log_once() {
        let captured = Captured::start();
        let context = context(&[
            format!("aws.agentcore.configbundle_arn={ARN}, aws.agentcore.configbundle_version=3"),
            "aws.agentcore.configbundle_version=4,=,x".to_owned(),
        ]);
        assert!(
            captured.lines().is_empty(),
            "nothing is read before it is asked for"
        );
        let _span = invocation_span(&context).entered();
        for _ in 0..2 {
            let bundle = context.config_bundle().unwrap();
            assert_eq!((bundle.arn(), bundle.version()), (ARN, "3"));
        }
        assert_eq!(context.routing_experiment(), None);
        let lines = captured.lines();
        let messages: Vec<&str> = lines
            .iter()
            .map(|line| line.split('"').nth(7).unwrap())
            .collect();
        assert_eq!(
            messages,
            [
                "Failed to parse baggage: 2 malformed entries were skipped",
                "The baggage has several values of `aws.agentcore.configbundle_version`, the first one counts",
                "Received config bundle ref: b-1",
            ]
        );
    }

    #[test]
    fn a_bundle_that_is_none_is_a_warning_and_no_bundle() {
        let captured = Captured::start();
        let context = context(&[
            "aws.agentcore.configbundle_arn=b-1,aws.agentcore.configbundle_version=3".to_owned(),
            "aws.agentcore.gateway.routing_experiment_arn=arn:e".to_owned(),
            "aws.agentcore.gateway.routing_experiment_variant_name=blue%20one".to_owned(),
        ]);
        assert_eq!(context.config_bundle(), None);
        let experiment = context.routing_experiment().unwrap();
        assert_eq!(
            (experiment.arn.as_str(), experiment.variant.as_str()),
            ("arn:e", "blue one")
        );
        assert_eq!(captured.lines().len(), 1, "{:?}", captured.lines());
        assert!(
            captured.lines()[0].contains("WARNING"),
            "{:?}",
            captured.lines()
        );
    }
}
