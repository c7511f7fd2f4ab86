"""The conformance tests. Run them with `pytest -n auto`, `gradparity run`, or from an installed wheel with
`pytest -p gradparity.plugin --pyargs gradparity.tests`."""
