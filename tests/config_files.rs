//! The project file as other tools and people see it: what `PyYAML` reads back, what is said of mistakes, and the example.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::{Home, python_with, workspace};

/// Texts that YAML readers take for something else when they are written carelessly.
const TRICKY: [&str; 60] = [
    "",
    " ",
    "  leading",
    "trailing  ",
    "yes",
    "no",
    "Yes",
    "NO",
    "on",
    "off",
    "On",
    "y",
    "n",
    "true",
    "False",
    "TRUE",
    "null",
    "Null",
    "~",
    "1",
    "-1",
    "0x1F",
    "0o17",
    "017",
    "1_000",
    "1.0",
    "1e3",
    "685.230_15e+03",
    ".5",
    ".inf",
    "-.INF",
    ".nan",
    "12:30",
    "190:20:30",
    "2025-01-01",
    "2001-12-14t21:59:43.10-05:00",
    "=",
    "<<",
    "- item",
    "-",
    "? key",
    ": x",
    "a: b",
    "a #b",
    "#c",
    "[x]",
    "{x: y}",
    "&anchor",
    "*alias",
    "!tag",
    "%dir",
    "@at",
    "`tick",
    "'single'",
    "\"double\"",
    "back\\slash",
    "line\nbreak\n",
    "tab\there",
    "\u{1F600} é ü 漢",
    "\u{85}\u{2028}\u{FEFF}",
];

#[test]
fn pyyaml_reads_every_tricky_text_as_it_was_given() {
    let Some(python) = python_with("yaml") else {
        return;
    };
    let home = Home::new().file("agent.py", "");
    for (half, texts) in TRICKY.chunks(30).enumerate() {
        let mut args = vec![
            "configure".to_owned(),
            "-e=agent.py".to_owned(),
            format!("-n=half{half}"),
        ];
        args.extend(
            texts
                .iter()
                .enumerate()
                .map(|(index, text)| format!("--env=V{index}={text}")),
        );
        let output = home.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(output.code, Some(0), "{output}");
    }
    let script = "import json, sys, yaml\n\
        agents = yaml.safe_load(open('.agentcore.yaml', encoding='utf-8'))['agents']\n\
        print(json.dumps([list(agents[half]['environment'].values()) for half in ('half0', 'half1')]))";
    let read = Command::new(&python)
        .args(["-c", script])
        .current_dir(home.project())
        .output()
        .unwrap();
    assert!(
        read.status.success(),
        "{}",
        String::from_utf8_lossy(&read.stderr)
    );
    let read: Vec<Vec<serde_json::Value>> = serde_json::from_slice(&read.stdout).unwrap();
    let read = read.concat();
    for (given, read) in TRICKY.iter().zip(&read) {
        assert_eq!(read, given, "PyYAML reads another value");
    }
    assert_eq!(read.len(), TRICKY.len());
}

#[test]
fn what_pyyaml_writes_is_read_as_it_was_meant() {
    let Some(python) = python_with("yaml") else {
        return;
    };
    let home = Home::new().file("agent.py", "");
    let script = "import json, sys, yaml\n\
        texts = json.load(sys.stdin)\n\
        agents = {'half%d' % half: {'entrypoint': 'agent.py', 'environment': {'V%d' % i: text for i, text in enumerate(texts[half * 30:][:30])}} for half in (0, 1)}\n\
        yaml.dump({'version': 1, 'agents': agents}, open('.agentcore.yaml', 'w', encoding='utf-8'), sort_keys=False, allow_unicode=True)";
    let mut child = Command::new(&python)
        .args(["-c", script])
        .current_dir(home.project())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(serde_json::to_string(&TRICKY[..]).unwrap().as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
    // A change makes this program write what it has read; its own writing is checked above.
    let output = home.run(&["configure", "-n", "half0", "--region", "eu-west-1"]);
    assert_eq!(output.code, Some(0), "{output}");
    let script = "import json, yaml\n\
        agents = yaml.safe_load(open('.agentcore.yaml', encoding='utf-8'))['agents']\n\
        print(json.dumps(list(agents['half0']['environment'].values()) + list(agents['half1']['environment'].values())))";
    let python = python_with("yaml").unwrap();
    let read = Command::new(&python)
        .args(["-c", script])
        .current_dir(home.project())
        .output()
        .unwrap();
    let read: Vec<String> = serde_json::from_slice(&read.stdout).unwrap();
    assert_eq!(read, TRICKY);
}

#[test]
fn mistakes_in_the_project_file_name_the_place_and_the_nearest_key() {
    let files = [
        "version: 1\nagents:\n  a:\n    entrypont: agent.py\n",
        "version: 1\nagents:\n  a:\n    entrypoint: agent.py\n    lifecycle: { idle_time: 60 }\n",
        "version: 1\nagents:\n  a:\n    entrypoint: agent.py\n    lifecycle: { idle_timeout: 900, max_lifetime: 60 }\n",
        "version: 1\nagents:\n  a:\n    entrypoint: agent.py\n    authorizer:\n      customJWTAuthorizer:\n        discoveryURL: x\n",
        "version: 1\nagents:\n  a:\n    entrypoint: agent.py\n    protocol:\n",
        "version: 1\nagents:\n  a:\n    entrypoint: /abs/agent.py\n",
        "version: 1\nagents:\n  a:\n    entrypoint: ../agent.py\n",
        "version: 1\nagents:\n  a:\n    entrypoint: agent.py\n    aws: { network: { mode: VPC, subnets: [subnet-01234567] } }\n",
        "version: 1\nagents:\n  my-agent:\n    entrypoint: agent.py\n",
        "version: 1\ndefault_agent: wirter\nagents:\n  writer:\n    entrypoint: agent.py\n",
        "version: 2\nagents: {}\n",
        "agents: {}\n",
        "version: 1\nagents:\n  - a\n",
        "version: 1\n\tagents: {}\n",
        "",
    ];
    let mut said = Vec::new();
    for text in files {
        let home = Home::new()
            .file("agent.py", "")
            .file(".agentcore.yaml", text);
        let output = home.run(&["configure", "-e", "agent.py"]);
        assert_eq!(
            (output.code, output.stdout.as_str()),
            (Some(3), ""),
            "{output}"
        );
        assert_eq!(home.read(".agentcore.yaml"), text);
        said.push(output.stderr);
    }
    insta::assert_snapshot!(said.concat(), @"
    error: .agentcore.yaml:4:5: unknown key `entrypont`
    hint: did you mean `entrypoint`?
    error: .agentcore.yaml:5:18: unknown key `idle_time`
    hint: did you mean `idle_timeout`?
    error: .agentcore.yaml:5:16: the idle timeout (900 s) is longer than the maximum lifetime (60 s)
    hint: make the lifetime at least as long as the idle timeout
    error: .agentcore.yaml:6:7: `customJWTAuthorizer.discoveryURL` is not a key that the service knows
    hint: did you mean `discoveryUrl`?
    error: .agentcore.yaml:5:13: the key has no value
    hint: give it one, or remove the key to leave it undecided
    error: .agentcore.yaml:4:17: `/abs/agent.py` is an absolute path
    hint: write it relative to the project file
    error: .agentcore.yaml:4:17: `../agent.py` is outside the project
    hint: keep everything that the agent needs in the project's folder
    error: .agentcore.yaml:5:21: the network mode VPC needs 1 to 16 `security_groups`, not 0
    hint: correct the file and run the command again
    error: .agentcore.yaml:3:3: `my-agent` is not an agent name
    hint: use 1 to 48 letters, digits and underscores, a letter first, for example `my_agent`
    error: .agentcore.yaml: `default_agent` names `wirter`, which is not in `agents`
    hint: did you mean `writer`?
    error: .agentcore.yaml:1:10: the version `2` of the project file is not known to this program, which knows version 1
    hint: correct the file and run the command again
    error: .agentcore.yaml:1:1: the key `version` is missing
    hint: add `version`
    error: .agentcore.yaml:3:3: keys and values expected here
    hint: correct the file and run the command again
    error: .agentcore.yaml:1:10: while scanning a plain scalar, found a tab
    hint: correct the file and run the command again
    error: .agentcore.yaml:1:1: the file is empty, or ends too early
    hint: correct the file and run the command again
    ");
}

#[test]
fn the_example_is_a_project_file() {
    let text = std::fs::read_to_string(workspace().join(".agentcore.yaml.example")).unwrap();
    let home = Home::new()
        .file("my_agent.py", "")
        .file(".agentcore.yaml", &text);
    let output = home.run(&["configure", "-n", "my_agent", "--output", "json"]);
    assert_eq!(output.json()["outcome"], "unchanged", "{output}");
}
