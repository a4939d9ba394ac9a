"""The Studio's methods over HTTP, for programs: requests and answers are the contract's messages as JSON."""
