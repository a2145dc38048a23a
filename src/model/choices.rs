//! The closed sets of words that a project file knows.

choice! {
    /// What the agent speaks with its callers.
    Protocol("a protocol") {
        /// `/invocations` and `/ping` on port 8080.
        Http = "HTTP",
        /// Model Context Protocol, `/mcp` on port 8000.
        Mcp = "MCP",
        /// Agent to agent, port 9000.
        A2a = "A2A",
        /// Agent to user interface.
        Agui = "AGUI",
    }
}

choice! {
    /// The language that the agent is written in.
    Language("a language that is known here") {
        /// Python 3.
        Python = "python",
        /// Rust.
        Rust = "rust",
    }
}

choice! {
    /// What serves a Python agent.
    Engine("an engine") {
        /// Whichever the agent's environment has.
        Auto = "auto",
        /// The server of this program.
        Native = "native",
        /// The official `bedrock-agentcore` package.
        Sdk = "sdk",
    }
}

choice! {
    /// Who builds the image.
    Build("a way to build") {
        /// AWS `CodeBuild`.
        CodeBuild = "code-build",
        /// The Docker engine of this machine.
        Local = "local",
    }
}

choice! {
    /// A group of permissions that the agent's role gets beyond the basic ones.
    Permission("a group of permissions") {
        /// Calling models of Amazon Bedrock.
        Models = "models",
        /// The agent's memory.
        Memory = "memory",
        /// Credential providers and workload identity.
        Identity = "identity",
        /// The code interpreter.
        CodeInterpreter = "code-interpreter",
        /// Subscribing to models in the marketplace.
        Marketplace = "marketplace",
        /// Tokens for other identity systems.
        JwtFederation = "jwt-federation",
        /// Calling other agents.
        A2a = "a2a",
    }
}

choice! {
    /// Where the agent can be reached from and what it can reach.
    NetworkMode("a network mode") {
        /// The public internet.
        Public = "PUBLIC",
        /// Subnets of a virtual private cloud.
        Vpc = "VPC",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_in_any_case_and_written_in_one() {
        assert_eq!("mcp".parse::<Protocol>().unwrap().as_str(), "MCP");
        let error = "smtp".parse::<Protocol>().unwrap_err();
        assert_eq!(
            error.in_lines(),
            "`smtp` is not a protocol\nuse one of HTTP, MCP, A2A, AGUI"
        );
    }
}
