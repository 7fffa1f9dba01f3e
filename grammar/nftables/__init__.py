"""nftables text: tables, chains, sets and maps as nft(8) prints and reads them."""
