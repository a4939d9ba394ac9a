"""The networks that presets choose among: generators, and critics that judge what these draw."""
