"""What is computed: one framework a file, the same functions in the same order in each."""
