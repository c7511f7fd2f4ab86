pytest_plugins = ["gradparity.plugin"]
