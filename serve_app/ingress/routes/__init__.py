"""The HTTP routes: the native API's here, those of other APIs in folders."""
