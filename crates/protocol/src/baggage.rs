//! The `baggage` of a request: pairs that travel with a trace, and the two things that AgentCore says in them.
//!
//! A gateway names there the configuration bundle and the routing experiment that a request belongs to. This module reads
//! them and no more: a bundle is fetched with the AWS SDK, by whoever has credentials for it.

use http::HeaderMap;
use percent_encoding::percent_decode;

use crate::header::BAGGAGE;

/// The keys under which AgentCore says something.
const BUNDLE_ARN: &str = "aws.agentcore.configbundle_arn";
const BUNDLE_VERSION: &str = "aws.agentcore.configbundle_version";
const EXPERIMENT_ARN: &str = "aws.agentcore.gateway.routing_experiment_arn";
const EXPERIMENT_VARIANT: &str = "aws.agentcore.gateway.routing_experiment_variant_name";

/// The baggage of one request (W3C Baggage): keys and values in the order in which they came, repeated ones included.
///
/// ```
/// use agentcore_protocol::baggage::Baggage;
/// use http::HeaderMap;
///
/// let mut headers = HeaderMap::new();
/// headers.append("baggage", "tenant=blue%20team;shown, user=7".parse().unwrap());
/// headers.append("baggage", "tenant=red".parse().unwrap());
/// let baggage = Baggage::from_headers(&headers);
/// assert_eq!(baggage.get("tenant"), Some("blue team"));
/// assert_eq!(baggage.get_all("tenant").count(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baggage {
    entries: Vec<(String, String)>,
    malformed: usize,
}

/// A version of a configuration bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigBundleRef {
    arn: String,
    version: String,
}

/// The experiment of a gateway that a request takes part in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingExperiment {
    /// The experiment.
    pub arn: String,
    /// The name of the variant that this request gets.
    pub variant: String,
}

impl Baggage {
    /// Reads every `baggage` header.
    ///
    /// Entries are separated by commas, what follows a semicolon in one is dropped, and values are percent-decoded; bytes
    /// that are not UTF-8 become U+FFFD. An entry without `=`, or with an empty key or value, is skipped and counted.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let mut baggage = Self::default();
        for line in headers.get_all(BAGGAGE) {
            for entry in line.as_bytes().split(|&byte| byte == b',') {
                baggage.add(entry);
            }
        }
        baggage
    }

    fn add(&mut self, entry: &[u8]) {
        let pair = entry.split(|&byte| byte == b';').next().unwrap_or(entry);
        let cut = pair.iter().position(|&byte| byte == b'=');
        let (key, value) = cut.map_or((pair, &b""[..]), |cut| (&pair[..cut], &pair[cut + 1..]));
        let (key, value) = (key.trim_ascii(), value.trim_ascii());
        if !key.is_empty() && !value.is_empty() {
            let key = String::from_utf8_lossy(key).into_owned();
            let value = percent_decode(value).decode_utf8_lossy();
            self.entries.push((key, value.into_owned()));
        } else if !entry.trim_ascii().is_empty() {
            self.malformed += 1;
        }
    }

    /// Returns the first value of a key; keys are compared as they are, case included.
    pub fn get(&self, key: &str) -> Option<&str> {
        let (_, value) = self.entries.iter().find(|(it, _)| it == key)?;
        Some(value)
    }

    /// Returns all values of a key, in the order in which they came.
    pub fn get_all<'a, 'k>(&'a self, key: &'k str) -> impl Iterator<Item = &'a str> + use<'a, 'k> {
        self.iter()
            .filter(move |(it, _)| *it == key)
            .map(|(_, value)| value)
    }

    /// Returns all keys with their values, in the order in which they came.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Returns whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns how many entries were skipped because they are malformed.
    pub fn malformed(&self) -> usize {
        self.malformed
    }

    /// Returns the configuration bundle that the request names, by ARN and version; of several values the first counts.
    ///
    /// # Errors
    ///
    /// Fails if what is named is no ARN; the error is a sentence for the log.
    pub fn config_bundle(&self) -> Result<Option<ConfigBundleRef>, InvalidBundleArn> {
        match (self.get(BUNDLE_ARN), self.get(BUNDLE_VERSION)) {
            (Some(arn), Some(version)) => ConfigBundleRef::new(arn, version).map(Some),
            _ => Ok(None),
        }
    }

    /// Returns the routing experiment that the request takes part in; of several values the first counts.
    pub fn routing_experiment(&self) -> Option<RoutingExperiment> {
        Some(RoutingExperiment {
            arn: self.get(EXPERIMENT_ARN)?.to_owned(),
            variant: self.get(EXPERIMENT_VARIANT)?.to_owned(),
        })
    }

    /// Returns the keys of AgentCore that came with several values, of which only the first counts.
    pub fn ambiguous(&self) -> impl Iterator<Item = &'static str> + use<'_> {
        let keys = [
            BUNDLE_ARN,
            BUNDLE_VERSION,
            EXPERIMENT_ARN,
            EXPERIMENT_VARIANT,
        ];
        keys.into_iter()
            .filter(|key| self.get_all(key).nth(1).is_some())
    }
}

/// What stands where the ARN of a configuration bundle belongs is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{arn}` is not the ARN of a configuration bundle")]
pub struct InvalidBundleArn {
    arn: String,
}

impl ConfigBundleRef {
    /// Creates a reference to a version of a bundle.
    ///
    /// # Errors
    ///
    /// Fails if `arn` is not `arn:` with six parts whose last one ends in `/<id>`.
    pub fn new(
        arn: impl Into<String>,
        version: impl Into<String>,
    ) -> Result<Self, InvalidBundleArn> {
        let (arn, version) = (arn.into(), version.into());
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let is_bundle = match parts[..] {
            ["arn", partition, service, _region, _account, resource] => {
                let id = resource.rsplit_once('/').map(|(_, id)| id);
                !partition.is_empty() && !service.is_empty() && id.is_some_and(|id| !id.is_empty())
            }
            _ => false,
        };
        if is_bundle {
            Ok(Self { arn, version })
        } else {
            Err(InvalidBundleArn { arn })
        }
    }

    /// Returns the ARN of the bundle.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// Returns the version of the bundle.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the id of the bundle: the last part of its ARN.
    pub fn id(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or(&self.arn)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    const ARN: &str = "arn:aws:bedrock-agentcore:us-west-2:123456789012:configuration-bundle/b-1";

    fn baggage(lines: &[&str]) -> Baggage {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(BAGGAGE, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        Baggage::from_headers(&headers)
    }

    #[test]
    fn lines_are_read_as_the_standard_says_and_bad_entries_counted() {
        for (lines, entries, malformed) in [
            (
                &["a=1,b=2", "a=3"][..],
                &[("a", "1"), ("b", "2"), ("a", "3")][..],
                0,
            ),
            (&[" a = 1 ; p=q ;r,\tb=2\t"], &[("a", "1"), ("b", "2")], 0),
            (
                &["a=x%20y%2C%C3%A9,b=%zz%4"],
                &[("a", "x y,é"), ("b", "%zz%4")],
                0,
            ),
            (&["a=1=2"], &[("a", "1=2")], 0),
            (&["a=%ff"], &[("a", "\u{fffd}")], 0),
            (&["a,=1,b=,c=3, ,;p,"], &[("c", "3")], 4),
            (&["A=1"], &[("A", "1")], 0),
            (&[""], &[], 0),
            (&[], &[], 0),
        ] {
            let read = baggage(lines);
            assert_eq!(read.iter().collect::<Vec<_>>(), entries, "{lines:?}");
            assert_eq!(read.malformed(), malformed, "{lines:?}");
        }
    }

    #[test]
    fn a_bundle_needs_an_arn_and_a_version() {
        let arn = |arn: &str| format!("aws.agentcore.configbundle_arn={arn}");
        let version = "aws.agentcore.configbundle_version=7";
        let whole = baggage(&[&arn(ARN), version]);
        let bundle = whole.config_bundle().unwrap().unwrap();
        assert_eq!(
            (bundle.arn(), bundle.version(), bundle.id()),
            (ARN, "7", "b-1")
        );
        assert_eq!(whole.ambiguous().count(), 0);

        let encoded = arn(&utf8_percent_encode(ARN, NON_ALPHANUMERIC).to_string());
        assert_eq!(
            baggage(&[&encoded, version]).config_bundle(),
            Ok(Some(bundle.clone()))
        );

        let twice = baggage(&[&arn(ARN), &arn("arn:aws:x:::y/z"), version]);
        assert_eq!(twice.config_bundle(), Ok(Some(bundle)), "the first counts");
        assert_eq!(
            twice.ambiguous().collect::<Vec<_>>(),
            ["aws.agentcore.configbundle_arn"]
        );

        assert_eq!(baggage(&[version]).config_bundle(), Ok(None));
        assert_eq!(baggage(&[&arn(ARN)]).config_bundle(), Ok(None));
        for malformed in [
            "b-1",
            "arn:aws:b-1",
            "arn:aws:x:r:a:bundle",
            "arn:aws:x:r:a:bundle/",
            "arn::x:::b/1",
        ] {
            let error = baggage(&[&arn(malformed), version])
                .config_bundle()
                .unwrap_err();
            let expected = format!("`{malformed}` is not the ARN of a configuration bundle");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn an_experiment_needs_an_arn_and_a_variant() {
        let arn = "aws.agentcore.gateway.routing_experiment_arn=arn:e";
        let variant = "aws.agentcore.gateway.routing_experiment_variant_name=blue";
        let expected = RoutingExperiment {
            arn: "arn:e".to_owned(),
            variant: "blue".to_owned(),
        };
        assert_eq!(
            baggage(&[arn, variant]).routing_experiment(),
            Some(expected)
        );
        assert_eq!(baggage(&[arn]).routing_experiment(), None);
        assert_eq!(baggage(&[variant]).routing_experiment(), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_reads_back(
            entries in proptest::collection::vec(("[a-z.]{1,8}", "\\PC{1,12}"), 0..6),
        ) {
            let lines: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{key}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
                .collect();
            let read = baggage(&[&lines.join(" , ")]);
            let expected: Vec<(&str, &str)> =
                entries.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            prop_assert_eq!(read.iter().collect::<Vec<_>>(), expected);
            prop_assert_eq!(read.malformed(), 0);
        }
    }
}
