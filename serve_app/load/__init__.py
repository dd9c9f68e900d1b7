"""`prsm-serve bench`: a load generator for any running server with OpenAI's protocol."""
