"""`prsm-serve bench`: load for a running server of any make that speaks OpenAI's protocol."""
