"""Images that clients name by a URL, fetched without becoming a way into private networks."""
