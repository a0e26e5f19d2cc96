"""A stand-in for the Messages API: the real `claude` works against it, and the prompt says what the model answers.

`python -m offline.model_api --help` starts one; `running.running_model_api` is for tests, `container.model_api` plays
api.anthropic.com on Docker networks. Needs aiohttp and nothing else of the project, so that it runs in our images too.
"""
