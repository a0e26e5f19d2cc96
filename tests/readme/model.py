"""What the stand-in for the model does where the README shows an agent at work; tools and their results are real."""

ASK = "curl -s -o /dev/null -D - https://www.example.org/"
RULE = "tr -d '\\r' | sed -n 's/^x-egress-rule: //p'"

ANSWERS = {
    "Add up 17.40 and 2.60": """bash "awk 'BEGIN { printf(\\"%.2f\\", 17.40 + 2.60) }'"; tell""",
    "Which hosts may you reach?": (
        """bash 'cat $AGENTENV_POLICY_FILE'; """
        """say "Only api.anthropic.com, by the gateway's route ANTHROPIC_API_KEY." """
    ),
    "Fetch https://www.example.org/": (
        f"""bash "echo The gateway refused www.example.org: $({ASK} | {RULE}). A retry will not help."; tell"""
    ),
    "Note in notes.md": "write notes.md 'The audit is on Monday.'; say 'It is noted.'",
    "When is the audit?": "bash 'cat notes.md'; tell",
    "Put a haiku": (
        "write /workspace/shared/haiku.txt 'An old silent pond'; say 'It is in /workspace/shared/haiku.txt.'"
    ),
    "Try to read the files of writer": """bash 'echo I cannot: $(ls /workspace/writer 2>&1)'; tell""",
    "Which city are you in?": "say 'I am in Ulm.'",
    "Hello": "say 'Hello, what can I do?'",
}
"""Words of a prompt -> its script, see `offline.model_api.script`."""
