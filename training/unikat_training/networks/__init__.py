"""The networks that presets choose among: generators and discriminators."""
